"""A kind of run: T steps of gradient descent on w'Hw / 2 with one step size eta, and derivatives with respect to eta.

Options of a run: `part`; `problem`, a name of PROBLEMS; `eta`, a name of ETAS, or the first one of "training".
- "table": for each of `lengths`, T, the derivatives by every way of WAYS, and the exact ones.
- "first": at which T up to `steps` a way is off by 1 %, what it says there, and at which it is first NaN.
- "training": `steps` meta-steps of eta by `way`, one of LEARNERS, with T = `length`.
Wang, Yuan, Wu and Ge, "Guarantees for Tuning the Step Size using a Learning-to-Learn Approach" (ICML 2021).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np

import tinyhyper as th
from tinyhyper.hyper.scaling import Scaled

from .run import Place, Run

COST = 10.0
DIMENSIONS = 20
PROBLEMS = {"square": DIMENSIONS, "wide": 2 * DIMENSIONS}  # columns of the matrix of which H is the product
PART = 20  # steps between two looks at the exponents: what stays in the range of float32 is not rounded by them
FLOAT32, FLOAT64 = np.dtype("float32"), np.dtype("float64")
OFF = 0.01


class Problem(NamedTuple):
    """H and the first weights."""

    h: np.ndarray
    start: np.ndarray

    def to(self, dtype: np.dtype) -> Problem:
        """The same, rounded."""
        return Problem(self.h.astype(dtype), self.start.astype(dtype))


@cache
def problem(name: str, seed: int) -> Problem:
    """The problem of that name."""
    rng = np.random.default_rng(seed)
    start, x = rng.standard_normal(DIMENSIONS), rng.standard_normal((DIMENSIONS, PROBLEMS[name]))
    return Problem(x.T @ x if name == "square" else x @ x.T, start / np.linalg.norm(start))


def ends(h: np.ndarray) -> tuple[float, float]:
    """The least eigenvalue of H and the largest."""
    values = np.linalg.eigvalsh(h)
    return float(values[0]), float(values[-1])


ETAS: dict[str, Callable[[float, float], float]] = {
    "0.1": lambda least, largest: 0.1,
    "2.2/L": lambda least, largest: 2.2 / largest,
    "2/(L+a)": lambda least, largest: 2.0 / (largest + least),
}


class Exact(NamedTuple):
    """The derivative of log f(w_T) / T, and that of f(w_T) as a sign and the logarithm of its size."""

    log: float
    sign: float
    size: float


def exact(given: Problem, eta: float, steps: int) -> Exact:
    """By the closed form, every factor divided by the largest: the referee, in which no step is made."""
    values, vectors = np.linalg.eigh(given.h.astype(FLOAT64))
    factors = 1.0 - eta * values
    largest = np.abs(factors).max()
    shares = (vectors.T @ given.start.astype(FLOAT64)) ** 2 * values * (factors / largest) ** (2 * steps - 2)
    above, below = np.sum(shares * values * factors), np.sum(shares * factors**2)
    size = math.log(steps * abs(above)) + (2 * steps - 2) * math.log(largest)
    return Exact(float(-2.0 * above / below), -float(np.sign(above)), size)


def loss(h: np.ndarray, w: th.Tensor) -> th.Tensor:
    """f, in what w has."""
    return th.sum(w * (h @ w)) / 2


def raw(h: np.ndarray, w: th.Tensor, steps: int) -> th.Tensor:
    """f at the end."""
    return loss(h, w)


def log(h: np.ndarray, w: th.Tensor, steps: int) -> th.Tensor:
    """The logarithm of f over T."""
    return th.log(loss(h, w)) / steps


def split(h: np.ndarray, w: th.Tensor, steps: int) -> th.Tensor:
    """The same by the logarithm of the weights' size: f itself is taken of weights whose largest is 1."""
    size = th.max(th.abs(w))
    return 2 * th.log(size) / steps + log(h, w / size, steps)


GOALS = {"raw": raw, "log": log, "split": split}


class Sweeps:
    """The steps, and the way back through them, as replayed programs; derivatives are the engine's.

    scaled: whether weights and cotangents have exponents of their own, which `PART` steps share.
    """

    def __init__(self, given: Problem, scaled: bool = False) -> None:
        self.given, self.scaled, self.dtype = given, scaled, given.h.dtype
        self.carried = {"w": given.start, "back": given.start, "slope": np.zeros((), self.dtype)}
        self.ahead, self.back = self.program(self.forward), self.program(self.backward)
        self.begin(math.nan)

    def program(self, sweep: Callable[..., th.Tensor]) -> Any:
        """A sweep's step, which leaves what it makes in `carried`; the program's only weight is a 0 that stays."""
        none = th.tensor(np.zeros((), self.dtype), requires_grad=True)
        return th.replay(sweep, {"none": none}, th.optim.SGD(0.0), carry=self.carried)

    def step(self, w: th.Tensor, eta: th.Tensor) -> th.Tensor:
        """Gradient descent."""
        (slope,) = th.gradients(loss(self.given.h, w), (w,), create_graph=True)
        return w - eta * slope

    def forward(self, params: dict[str, th.Tensor], eta: np.ndarray) -> th.Tensor:
        """A step ahead."""
        none = params["none"]
        self.carried["w"] = self.step(th.tensor(self.carried["w"]) + none, th.tensor(eta)).detach().numpy()
        return none * 1

    def backward(self, params: dict[str, th.Tensor], w: np.ndarray, eta: np.ndarray) -> th.Tensor:
        """A step back: the cotangent of the weights before it, and what it contributes to the derivative by eta."""
        none = params["none"]
        before, rate = th.tensor(w) + none, th.tensor(eta) + none
        ahead = th.sum(th.tensor(self.carried["back"]) * self.step(before, rate))
        back, slope = th.gradients(ahead, (before, rate))
        self.carried["back"] = back.numpy()
        self.carried["slope"] = (th.tensor(self.carried["slope"]) + slope).numpy()
        return none * 1

    def begin(self, eta: float) -> None:
        """Forget all steps, and go on with another step size."""
        self.eta = np.asarray(eta, self.dtype)
        self.path = [self.given.start]  # the weights before each step and after the last, without their exponents
        self.exponents = [0]  # of each `PART` steps

    def reach(self, steps: int) -> None:
        """Make the steps up to this one."""
        while (made := len(self.path) - 1) < steps:
            w = self.path[-1]
            if self.scaled and made % PART == 0:
                at = Scaled({"w": w}, self.exponents[-1]).normal()
                w, self.path[-1] = at.arrays["w"], at.arrays["w"]
                self.exponents.append(at.exponent)
            self.carried["w"] = w
            self.ahead(self.eta)
            self.path.append(self.carried["w"])

    def derivative(self, goal: str, steps: int) -> float:
        """That of the goal at the weights after so many steps, with respect to eta."""
        self.reach(steps)
        parts = range(0, steps, PART) if self.scaled else range(1)
        end = Scaled({"w": self.path[steps]}, self.exponents[len(parts)] if self.scaled else 0)
        end = end.normal() if self.scaled else end
        w = th.tensor(end.arrays["w"], requires_grad=True)
        (back,) = th.gradients(GOALS[goal](self.given.h, w, steps), (w,))
        # of weights in units of 2 ** e, the gradient of a logarithm is in units of 2 ** -e
        at, total = Scaled({"": back.numpy()}, -end.exponent), Scaled({"": np.zeros((), self.dtype)})
        for n in reversed(parts):
            at = at.normal() if self.scaled else at
            path = self.path[n : min(n + PART, steps) if self.scaled else steps]
            self.carried |= {"back": at.arrays[""], "slope": np.zeros((), self.dtype)}
            self.back.over(np.stack(path[::-1]), np.full(len(path), self.eta))
            unit = self.exponents[n // PART + 1] if self.scaled else 0
            total += Scaled({"": self.carried["slope"]}, at.exponent + unit)
            at = Scaled({"": self.carried["back"]}, at.exponent)
        return float(total.at(0)[""])


WAYS: dict[str, tuple[Any, bool, str]] = {
    "raw bp32": (FLOAT32, False, "raw"),
    "raw bp64": (FLOAT64, False, "raw"),
    "log bp32": (FLOAT32, False, "log"),
    "log bp64": (FLOAT64, False, "log"),
    "log scaled32": (FLOAT32, True, "log"),
    "split bp32": (FLOAT32, False, "split"),
    "split bp64": (FLOAT64, False, "split"),
}
TABLE = [*WAYS][:5]
FIRST = [way for way in WAYS if not way.startswith("raw") and "scaled" not in way]
LEARNERS = ["exact", "log scaled32", "log bp64", "log bp32", "raw bp64"]


class Way:
    """A way to the derivative of a goal."""

    def __init__(self, name: str, given: Problem) -> None:
        dtype, scaled, self.goal = WAYS[name]
        self.sweeps = Sweeps(given.to(dtype), scaled)

    def __call__(self, steps: int, eta: float | None = None) -> float:
        """The derivative at T, with eta if it is another one."""
        if eta is not None:
            self.sweeps.begin(eta)
        with np.errstate(all="ignore"):
            return self.sweeps.derivative(self.goal, steps)


def table(given: Problem, eta: float, lengths: list[int]) -> dict[str, Any]:
    """Every way's derivative at each length, and the exact ones, of the float32 numbers too."""
    found: dict[str, Any] = {}
    for name in TABLE:
        way = Way(name, given)
        way.sweeps.begin(eta)
        found[name] = [way(steps) for steps in lengths]
    known = [exact(given, eta, steps) for steps in lengths]
    found["log exact"], found["raw exact"] = [one.log for one in known], [[one.sign, one.size] for one in known]
    rounded = given.to(FLOAT32)
    found["log exact32"] = [exact(rounded, float(FLOAT32.type(eta)), steps).log for steps in lengths]
    return found


def first(given: Problem, eta: float, most: int, name: str) -> tuple[int | None, float | None, int | None]:
    """The first T at which a way is off, what it says there, and the first at which it is NaN."""
    way, dtype = Way(name, given), WAYS[name][0]
    way.sweeps.begin(eta)
    own, rate, values = given.to(dtype), float(dtype.type(eta)), cache(way)

    def off(steps: int) -> bool:
        right = exact(own, rate, steps).log
        return not abs(values(steps) - right) <= OFF * abs(right)

    begun = least(off, most)
    return begun, begun and values(begun), least(lambda steps: math.isnan(values(steps)), most)


def least(holds: Callable[[int], bool], most: int) -> int | None:
    """The first number for which it holds, where it holds for all after one for which it does."""
    high = 1
    while not holds(high):
        if high == most:
            return None
        high = min(2 * high, most)
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def learned(slope: Callable[[float], float], eta: float, rate: float, count: int) -> list[float]:
    """Eta before each meta-step and after the last: lengths rate / sqrt(k), and 0 where it would be negative."""
    etas = [eta]
    for k in range(1, count + 1):
        eta = eta - rate / math.sqrt(k) * slope(eta)
        eta = 0.0 if eta < 0 else eta  # a NaN stays
        etas.append(eta)
        if not math.isfinite(eta):
            break
    return etas


def best(given: Problem, steps: int) -> float:
    """Where the derivative of log f is 0: it grows with eta there, and has one 0."""
    low, high = 0.0, 2.0 / ends(given.h)[0]
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if exact(given, middle, steps).log < 0 else (low, middle)
    return high


def training(given: Problem, eta: float, steps: int, count: int, name: str) -> dict[str, Any]:
    """The meta-steps by a way, or by the exact derivative; 1 / (L^2 sqrt(k)) has the units of eta."""
    rate = ends(given.h)[1] ** -2
    if name == "exact":
        etas = learned(lambda at: exact(given, at, steps).log, eta, rate, count)
    else:
        etas = learned(partial(Way(name, given), steps), eta, rate, count)
    return {"best": best(given, steps), "etas": etas}


def perform(run: Run, place: Place) -> dict[str, Any]:
    """The part of the run."""
    options, given = run.options, problem(run.options["problem"], run.seed)
    if options["part"] == "training":
        return training(given, options["eta"], options["length"], run.steps, options["way"])
    eta = ETAS[options["eta"]](*ends(given.h))
    if options["part"] == "table":
        found = table(given, eta, options["lengths"])
    else:
        found = {name: first(given, eta, run.steps, name) for name in FIRST}
    return {"eta": eta, "ends": ends(given.h), **found}
