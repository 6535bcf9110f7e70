"""A kind of run: gradient descent on least squares whose inputs have fresh noise in every step.

The loss is |y - X'w|^2 / N with X of n x N, n > N. Step t reads X + sigma_t G in place of X, with G standard normal,
and moves w by eta_t = a t^-x times the gradient; sigma_t^2 = v = b t^-y. Which of all solutions w reaches is decided by
the noise alone. The law of the runs is the same in any basis of w, so K = XX' is diagonal here; then the mean of the
error e = w - w_min and that of its square follow from those of the step before, exactly and number by number.

Options of a run: `name`; `part`, "rates", "sampled" or "learned"; `schedule`, the numbers a, x, b and y, with which
learning begins; and for learned ones `goal`, whose logarithm is descended, `length`, how many steps of gradient descent
lead to it, and `free`, what is learned. Its result: see `rates`, `sampled` and `Learning`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

import tinyhyper as th
from tinyhyper import hyper
from tinyhyper.optim import COORDINATES, Hyperparameter, Optimizer

from . import Place, Run, Training, train

COST = 0.5
N = 6
K = np.r_[N * np.linspace(1, 4, N), np.zeros(N)]  # the eigenvalues of XX'; no gradient without noise leaves the first N
MINIMUM = np.r_[np.ones(N), np.zeros(N)] / np.sqrt(N)  # w_min, the solution of least norm
START = 1.983 / np.sqrt(N) * np.r_[np.tile([1.0, -1.0], N // 2), np.ones(N)]  # 1.983 from the span of X
POWERS = ("log a", "x", "log b", "y")
MARKS = (60, 300, 3_000, 30_000)  # the steps after which the error is told
GROUPS, RUNS = 20, 100  # of sampled runs, whose gradients are compared
MANY = 20_000  # sampled runs, whose errors are compared
DIGITS = 6  # of the numbers by step or round


def step(mean: Any, square: Any, eta: Any, v: Any) -> tuple[Any, Any]:
    """E e and E e^2 after a step of size eta and noise of variance v: NumPy's arrays, complex ones, or tensors."""
    a, c = 1 - (2 * eta / N) * (K + v * N), -2 * eta * v * MINIMUM
    weights = square + 2 * MINIMUM * mean + MINIMUM**2  # E w^2
    norm = np.sum(weights)
    spread = v * (norm * K + np.sum(K * square) + 2 * K * (square + MINIMUM * mean)) + N * v * v * (norm + weights)
    return a * mean + c, a * a * square + 2 * a * c * mean + c * c + (4 / N**2) * eta * eta * spread


def begin() -> tuple[Any, Any]:
    """E e and E e^2 before the first step."""
    return START - MINIMUM, (START - MINIMUM) ** 2


def end(etas: Sequence[Any], vs: Sequence[Any]) -> tuple[Any, Any]:
    """E e and E e^2 after all steps."""
    mean, square = begin()
    for eta, v in zip(etas, vs):
        mean, square = step(mean, square, eta, v)
    return mean, square


GOALS: dict[str, Callable[[Any], Any]] = {
    "validation": np.sum,  # E |e|^2, that of inputs which are white
    "training": lambda square: np.sum(K * square) / N,  # without noise
}


def coordinates(schedule: Sequence[float]) -> dict[str, np.ndarray]:
    """A power law's numbers as they are learned."""
    a, x, b, y = schedule
    return dict(zip(POWERS, map(np.array, (np.log(a), x, np.log(b), y))))


def powers(found: Mapping[str, Any], steps: int) -> tuple[Any, Any]:
    """The step sizes and the variances of power laws."""
    logs = np.log(np.arange(1.0, steps + 1))
    return np.exp(found["log a"] - found["x"] * logs), np.exp(found["log b"] - found["y"] * logs)


def free(found: Mapping[str, Any], steps: int) -> tuple[Any, Any]:
    """The same of numbers for each step."""
    return np.exp(found["log eta"]), np.exp(found["log v"])


def objective(values: Mapping[str, Any], steps: int, goal: str) -> Any:
    """The logarithm of the goal after so many steps, by the moments."""
    etas, vs = (powers if "x" in values else free)(values, steps)
    _, square = end([etas[t] for t in range(steps)], [vs[t] for t in range(steps)])
    return np.log(GOALS[goal](square))


def rates(run: Run, place: Place) -> dict[str, Any]:
    """Roots of E |e|^2 by step, of its part that is the mean's and of the rest: after MARKS and some steps between."""
    a, x, b, y = run.options["schedule"]
    shown = {*MARKS, *np.unique(np.geomspace(1, run.steps, 100).astype(int)).tolist()}
    mean, square = begin()
    found = []
    for t in range(1, run.steps + 1):
        mean, square = step(mean, square, a * t**-x, b * t**-y)
        if t in shown:
            whole, bias = float(np.sum(square)), float(np.sum(mean**2))
            found.append((t, whole**0.5, bias**0.5, max(whole - bias, 0.0) ** 0.5))
    steps, *parts = zip(*found)
    return {"t": steps, **{name: short(part) for name, part in zip(("error", "bias", "fluctuation"), parts)}}


def short(numbers: Iterable[float]) -> list[float]:
    """The numbers with DIGITS digits."""
    return [float(f"{number:.{DIGITS}g}") for number in numbers]


class Learning(Training):
    """Adam on the logarithm of the goal; its gradient comes back through all steps of gradient descent.

    Its result: by round, the goal's logarithm; the roots of both goals at the end; what was learned; and how far the
    engine's gradient there is from complex steps.
    """

    def __init__(self, run: Run) -> None:
        self.options = run.options
        self.length, self.goal = run.options["length"], run.options["goal"]
        numbers = coordinates(run.options["schedule"])
        if "log eta" in run.options["free"]:
            numbers = dict(zip(("log eta", "log v"), map(np.log, powers(numbers, self.length))))
        self.held = {name: number for name, number in numbers.items() if name not in run.options["free"]}
        params = {name: th.tensor(numbers[name], requires_grad=True) for name in run.options["free"]}
        super().__init__(params, th.optim.from_string(run.stack), self.value)
        self.history = {"values": []}

    def value(self, params: Mapping[str, Any]) -> Any:
        """The goal's logarithm."""
        return objective({**self.held, **params}, self.length, self.goal)

    def batch(self, step: int) -> tuple[()]:
        return ()

    def after(self, step: int, loss: float) -> None:
        self.history["values"].append(loss)

    def result(self) -> dict[str, Any]:
        learned = {name: w.numpy() for name, w in self.params.items()}
        etas, vs = (free if "log eta" in learned else powers)({**self.held, **learned}, self.length)
        _, square = end(etas, vs)
        return {
            "values": short(self.history["values"]),
            **{goal: float(of(square)) ** 0.5 for goal, of in GOALS.items()},
            "numbers": {name: float(w) for name, w in {**self.held, **learned}.items() if w.ndim == 0},
            "eta": short(etas),
            "v": short(vs),
            "off": self.off(learned),
        }

    def off(self, learned: Mapping[str, np.ndarray]) -> float:
        """How far the engine's gradient of the goal's logarithm is from complex steps, at most."""
        leaves = {name: th.tensor(array, requires_grad=True) for name, array in learned.items()}
        found = th.gradients(self.value(leaves), [*leaves.values()])
        right = [referee(self.value, learned, name) for name in learned]
        ours, theirs = (np.concatenate([np.ravel(g) for g in all]) for all in ([g.numpy() for g in found], right))
        return float(np.max(np.abs(ours - theirs)))


def referee(value: Callable[[Mapping[str, Any]], Any], at: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """The gradient with respect to one of the arrays by complex steps, which subtract nothing."""
    found = np.empty(np.shape(at[name]))
    for place in np.ndindex(found.shape):
        moved = np.array(at[name], complex)
        moved[place] += 1e-30j
        found[place] = value({**at, name: moved}).imag / 1e-30
    return found


class Decayed(Optimizer):
    """Gradient descent with steps of size alpha t^-x."""

    table = {"alpha": Hyperparameter(0.1, COORDINATES["log"]), "x": Hyperparameter(0.0)}

    @staticmethod
    def rule(w: Any, g: Any, *, alpha: Any, x: Any, t: Any) -> Any:
        return w - alpha * th.exp(-x * th.log(t)) * g


def noisy(params: Mapping[str, Any], noise: np.ndarray, t: int, b: Any, y: Any) -> Any:
    """The loss of step t of many runs, whose inputs have noise of variance b t^-y; X is the root of the diagonal K."""
    w, sigma = params["w"], th.exp(0.5 * (th.log(b) - y * np.log(t)))
    inputs = np.sqrt(K)[:, None] * np.eye(len(K), N) + sigma * noise
    residual = th.sum(inputs * w[:, :, None], axis=1) - np.sqrt(K[:N]) * MINIMUM[:N]
    return th.sum(th.square(residual)) / N


def sampled(run: Run, place: Place) -> dict[str, Any]:
    """Samples beside the moments: the mean of |e|^2, and the engine's gradient of it through a rule that has t."""
    a, x, b, y = run.options["schedule"]
    rng = np.random.default_rng(run.seed)

    def goal(params: Mapping[str, Any]) -> Any:
        return th.sum(th.square(params["w"] - MINIMUM)) / RUNS

    def training() -> hyper.Training:
        return hyper.Training(
            noisy, {"w": np.tile(START, (RUNS, 1))}, Decayed(a, x, horizon=None), goal,
            batches=[(rng.standard_normal((RUNS, len(K), N)), t) for t in range(1, run.steps + 1)],
            outside={"b": b, "y": y}, coordinates={"b": "log"},
        )  # fmt: skip

    def gradient(of: hyper.Training, way: str = "unroll") -> np.ndarray:
        return np.array([*hyper.gradient(of, way).gradients.values()])

    gradients = np.array([gradient(training()) for _ in range(GROUPS)])
    one = training()
    by_differences = gradient(one, "differences")
    at = coordinates(run.options["schedule"])
    value = partial(objective, steps=run.steps, goal="validation")
    exact = np.exp(value(at))
    right = [float(exact * referee(value, at, name)) for name in POWERS]
    return {
        "exact": float(exact),
        "samples": plainly(MANY, run, rng),
        "gradients": right,
        "sampled": gradients.mean(0),
        "uncertain": gradients.std(0, ddof=1) / np.sqrt(GROUPS),
        "off": float(np.max(np.abs(gradient(one) - by_differences)) / np.max(np.abs(by_differences))),
    }


def plainly(count: int, run: Run, rng: np.random.Generator) -> float:
    """The mean of |e|^2 over so many sampled runs, in plain NumPy."""
    a, x, b, y = run.options["schedule"]
    w, inputs = np.tile(START, (count, 1)), np.sqrt(K)[:, None] * np.eye(len(K), N)
    for t in range(1, run.steps + 1):
        noised = inputs + (b * t**-y) ** 0.5 * rng.standard_normal((count, len(K), N))
        residual = np.einsum("rnk,rn->rk", noised, w) - np.sqrt(K[:N]) * MINIMUM[:N]
        w = w - a * t**-x * (2 / N) * np.einsum("rnk,rk->rn", noised, residual)
    return float(np.mean(np.sum((w - MINIMUM) ** 2, axis=1)))


PARTS = {"rates": rates, "sampled": sampled, "learned": lambda run, place: train(partial(Learning, run), run, place)}


def perform(run: Run, place: Place) -> dict[str, Any]:
    """What the run's part does."""
    return PARTS[run.options["part"]](run, place)
