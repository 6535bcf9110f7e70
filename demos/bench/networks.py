"""The networks of the paper's larger experiments: ResNet-20 for CIFAR-10, and a character LSTM."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .problems import ADAM, SGD, Arrays, Level, Problem, Workload

SYMBOLS, LENGTH = 87, 50


@dataclass(frozen=True)
class Network(Problem):
    """A network and its data, made from a seed.

    name: "resnet20", on images of 32x32 in ten classes, or "charlstm", on texts of 50 characters of 87 kinds.
    batch: so many images or texts.
    """

    name: str = ""

    @cached_property
    def model(self) -> Any:
        """The network as tinyhyper's layers; imported here, so that processes of peers hold it only for its weights."""
        import tinyhyper as th

        return th.nn.resnet20() if self.name == "resnet20" else th.nn.CharLSTM(self.name, SYMBOLS)

    @property
    def carry(self) -> Any:
        """The running statistics of batch normalization."""
        return self.model.live_buffers

    def weights(self) -> Arrays:
        """float32, by name, output channels last."""
        return {name: p.numpy() for name, p in self.model.parameters(self.seed).items()}

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Images (batch, 32, 32, 3) with classes (batch,); or characters (length, batch), with those that follow."""
        rng = np.random.default_rng(self.seed + 1)
        if self.name == "resnet20":
            images = rng.standard_normal((self.batch, 32, 32, 3), np.float32)
            return images, rng.integers(0, 10, self.batch)
        text = rng.integers(0, SYMBOLS, (LENGTH + 1, self.batch))
        return text[:-1], text[1:]

    def loss(self, library: Any, params: Any, inputs: Any = None, targets: Any = None) -> Any:
        """The cross-entropy; for tinyhyper alone, as its layers compute it."""
        logits = self.model(params, inputs)
        if self.name == "charlstm":
            logits, targets = logits[0].reshape(targets.size, -1), targets.ravel()
        return library.cross_entropy(logits, targets)


IMAGES, CHARACTERS = "ResNet-20, batch 128, SGD/SGD", "character LSTM, Adam/Adam"
NETWORKS = {
    workload.name: workload
    for workload in (
        Workload(IMAGES, Network(name="resnet20", batch=128), (SGD, SGD)),
        Workload(CHARACTERS, Network(name="charlstm", batch=50), (ADAM, Level("adam", 1e-5))),
    )
}
