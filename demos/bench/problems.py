"""What is trained: the data and the first weights, the same for every peer, and the towers that train."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

Arrays = dict[str, np.ndarray]


class Level(NamedTuple):
    """One level of a tower: a rule of `rules.RULES` and its step size; all else has its default."""

    rule: str
    alpha: float


Tower = tuple[Level, ...]  # bottom first


@dataclass(frozen=True)
class Problem:
    """A model and its data, made from a seed.

    layers: the widths of an MLP with tanh on its hidden layers and on its outputs; cross-entropy where there are
    several outputs, else the mean square. Without layers the loss is a sum of squares, of `count` parameters of `size`
    elements each.
    """

    layers: tuple[int, ...] = ()
    batch: int = 0
    count: int = 0
    size: int = 0
    seed: int = 0

    @property
    def carry(self) -> Any:
        """What the loss reads and replaces, if anything."""
        return None

    @property
    def classes(self) -> int:
        """How many classes there are to tell apart; 0 if it is numbers that are fitted."""
        return self.layers[-1] if self.layers and self.layers[-1] > 1 else 0

    def weights(self) -> Arrays:
        """float32, (inputs, outputs): uniform within 1/sqrt(inputs), PyTorch's default for linear layers."""
        rng = np.random.default_rng(self.seed)
        shapes: dict[str, tuple[int, tuple[int, ...]]] = {f"p{i}": (self.size, (self.size,)) for i in range(self.count)}
        for i, (inputs, outputs) in enumerate(zip(self.layers, self.layers[1:]), start=1):
            shapes |= {f"layer{i}.weight": (inputs, (inputs, outputs)), f"layer{i}.bias": (inputs, (outputs,))}
        return {
            name: rng.uniform(-(inputs**-0.5), inputs**-0.5, shape).astype(np.float32)
            for name, (inputs, shape) in shapes.items()
        }

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Inputs (batch, first width), float32 in [0, 1), and targets: classes (batch,), or numbers (batch, 1)."""
        rng = np.random.default_rng(self.seed + 1)
        inputs = rng.random((self.batch, self.layers[0] if self.layers else 0), dtype=np.float32)
        if self.classes:
            return inputs, rng.integers(0, self.classes, self.batch)
        return inputs, rng.random((self.batch, 1), dtype=np.float32)

    def loss(self, library: Any, params: Any, inputs: Any = None, targets: Any = None) -> Any:
        """The loss, in the operations of a library: `layer`, `cross_entropy`, `mean_square` and `sum_square`."""
        if not self.layers:
            total = library.sum_square(params["p0"])
            for i in range(1, self.count):
                total = total + library.sum_square(params[f"p{i}"])
            return total
        for i in range(1, len(self.layers)):
            inputs = library.layer(inputs, params[f"layer{i}.weight"], params[f"layer{i}.bias"])
        return (library.cross_entropy if self.classes else library.mean_square)(inputs, targets)


class Workload(NamedTuple):
    """A problem, the tower that trains on it, and what the tables call it."""

    name: str
    problem: Problem
    tower: Tower


MLP = Problem(layers=(784, 128, 10), batch=256)
SMALL_MLP = Problem(layers=(128, 128, 10), batch=128)  # just large enough for the kernels that the MLP takes
TEACHING = Problem(layers=(2, 16, 16, 1), batch=32)
SMALL = Problem(count=200, size=16)
TINY = Problem(count=1, size=4, seed=6)  # with a gradient below 1, which each level squares: no tower of it explodes

SGD, ADAM, ADAGRAD, RMSPROP = Level("sgd", 0.01), Level("adam", 0.001), Level("adagrad", 0.01), Level("rmsprop", 0.01)

MLP_WORKLOADS = (
    Workload("MLP, SGD", MLP, (SGD,)),
    Workload("MLP, SGD/SGD", MLP, (SGD, SGD)),
    Workload("MLP, Adam/SGD", MLP, (ADAM, Level("sgd", 1e-5))),
    Workload("MLP, Adam/Adam", MLP, (ADAM, Level("adam", 1e-5))),
    Workload("MLP, RMSProp/RMSProp", MLP, (RMSPROP, Level("rmsprop", 1e-4))),
    Workload("MLP, AdaGrad/AdaGrad", MLP, (ADAGRAD, ADAGRAD)),
)
SMALL_WORKLOADS = (
    Workload("teaching-size net, Adam/SGD", TEACHING, (ADAM, Level("sgd", 1e-5))),
    Workload("200 small parameters, Adam/SGD", SMALL, (ADAM, Level("sgd", 1e-7))),
)
HYPERSTEPS = {workload.name: workload for workload in (*MLP_WORKLOADS, *SMALL_WORKLOADS)}


def tower_of_sgd(height: int) -> Tower:
    """SGD with `height` levels of SGD above it, so flat that the run stays calm."""
    return (Level("sgd", 1e-3),) + (Level("sgd", 1e-6),) * height
