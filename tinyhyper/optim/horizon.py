"""The horizon: how many steps a hypergradient looks back.

The steps between two cuts are a window. Within it the hyperparameters stand still, and each step ends at a `Seam`: the
graph goes on through it, but a recorded `backward()` stops there, so that each costs one step, however long the window.
What it would have carried further it leaves at the seam. The first plain sweep, which gathers the hypergradient of the
whole window, takes that along; so a window of k steps costs k times one step, in time and in memory.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from numbers import Integral
from typing import Any

from ..core.tape import Edge, Node, backward, unwatched
from ..core.tensor import Tensor, deposit
from ..core.tower import HOOKS, Optimizer
from ..errors import ArgumentError, GraphError
from .hooks import Hook, at_the_bottom, extend, one_of

OBJECTIVES = ("last", "sum")


class Seam(Node):
    """Where a step ends and the next begins: output n is input n.

    left: by output, the cotangent that recorded sweeps left here, without its graph.  curved: whether it had one.
    partly: whether the output's `.grad` is partly of a plain sweep.  touched: where to say that something was left.
    """

    __slots__ = ("curved", "left", "partly", "touched")
    seam = True
    name = "seam"

    def __init__(self, inputs: tuple[Edge | None, ...], touched: list[weakref.ref[Seam]]) -> None:
        super().__init__(Seam, inputs, width=len(inputs))
        self.touched = touched
        self.left: list[Tensor | None] = [None] * self.width
        self.curved = [False] * self.width
        self.partly = [False] * self.width

    def pullback(self, cotangents: Sequence[Tensor | None], wanted: Sequence[bool]) -> Sequence[Tensor | None]:
        return cotangents

    def leave(self, cotangents: Sequence[Tensor | None]) -> None:
        """Keep what a recorded sweep, which ends here, would have carried on."""
        self.touched.append(weakref.ref(self))
        for n, cotangent in enumerate(cotangents):
            if cotangent is None:
                continue
            before, left = self._gradient(n), self.left[n]
            if before is None or (left is None and before.edge is None):
                self.partly[n] = before is not None
            bare = Tensor(cotangent.array)
            self.left[n] = bare if left is None else left + bare
            self.curved[n] = self.curved[n] or cotangent.edge is not None

    def collect(self) -> list[tuple[Edge, Tensor]]:
        """What was left here, with the edges along which it goes on; a plain sweep takes it away."""
        found = [(edge, left) for edge, left in zip(self.inputs, self.left) if edge is not None and left is not None]
        self.partly = [partly or left is not None for partly, left in zip(self.partly, self.left)]
        self.left = [None] * self.width
        return found

    def lacks(self, n: int, gradient: Tensor) -> bool:
        """Whether the gradient of an output is without a graph, or without a part of it, that it should have."""
        if gradient.edge is not None:
            return self.partly[n]
        return self.left[n] is None or self.curved[n]

    def _gradient(self, n: int) -> Tensor | None:
        """What the output has in its `.grad`."""
        tensor = self.receivers[n]() if self.receivers else None
        return None if tensor is None else tensor.grad


class Window(Hook):
    """The steps of a tower since its last cut.

    horizon: after how many steps the next cut comes, None for never.  objective: "last" for the loss at the window's
    end, "sum" for that of all its losses.  retains: whether the window's graph is kept as it ends, as the step may be
    refused.
    """

    keywords = {"horizon": 1, "objective": "last"}

    def __init__(self, level: Optimizer, horizon: Any, objective: Any) -> None:
        _check(level, horizon, objective)
        self.__setstate__({"horizon": horizon, "objective": objective})

    def __getstate__(self) -> dict[str, Any]:
        return {"horizon": self.horizon, "objective": self.objective}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.horizon: int | None = state["horizon"]
        self.objective: str = state["objective"]
        self.in_use = self.horizon != 1  # else each step cuts
        self.restart()

    def restart(self) -> None:
        """Forget the steps before, so that the next one begins a window."""
        self.steps, self.retains = 0, False
        self.seam: Seam | None = None
        self.numbers: dict[str, int] = {}
        self.touched: list[weakref.ref[Seam]] = []

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Within, the window ends, and what recorded sweeps have left in it does not count. An error leaves it."""
        put_back = self.noted()
        self._collect()
        try:
            yield
        except BaseException:
            put_back()
            raise
        self.seam, self.numbers = None, {}

    def stand(self, levels: Sequence[Optimizer], params: MutableMapping[str, Tensor], steps: int) -> None:
        """Go on after so many steps, the last of which has cut, and has made these weights."""
        self.restart()
        self.steps = steps - 1
        self.after(levels, params)

    @property
    def cuts(self) -> bool:
        """Whether the next step begins with the cut."""
        return self.horizon is not None and self.steps % self.horizon == 0

    def before(self, levels: Sequence[Optimizer], params: MutableMapping[str, Tensor]) -> None:
        if self.cuts:
            self.gather()
        else:
            self.check(params, f"{type(levels[0]).__name__}.step")

    def check(self, params: Mapping[str, Tensor], what: str) -> None:
        """Raise GraphError if the next step is inside the window and would silently make it shorter."""
        if self.seam is None:
            return
        length = "never ends" if self.horizon is None else f"is {self.horizon} steps long"
        for name, n in self.numbers.items():
            w = params.get(name)
            if w is not None and w.is_leaf:
                raise GraphError(
                    f"{what}: params[{name!r}] is not the tensor that the last step made, so the graph of this "
                    f"window, which {length}, ends there. To begin a new window, call "
                    "opt.load_state_dict(opt.state_dict())"
                )
            if w is not None and w.grad is not None and self.seam.lacks(n, w.grad):
                raise GraphError(
                    f"{what}: the gradient of params[{name!r}] was not recorded, or only a part of it. Without its "
                    f"graph the horizon would silently be shorter: this window {length}. Call "
                    "loss.backward(create_graph=True) before each step, change gradients with recorded operations, "
                    "and ask for hypergradients within the window by th.gradients(loss, ..., retain_graph=True)"
                )

    def gather(self) -> None:
        """As the window ends: bring to the hyperparameters what recorded sweeps have left on the way."""
        if seeds := self._collect():
            deposit(seeds, None, retain_graph=self.retains)

    def owed(self) -> list[tuple[Tensor, Tensor]]:
        """What `gather` would bring, by tensor; it stays where it is."""
        put_back = self.noted()
        try:
            with unwatched():
                return backward(self._collect(), None, retain_graph=True, create_graph=False)
        finally:
            put_back()

    def noted(self) -> Callable[[], None]:
        """Note what recorded sweeps have left in the window. To call what is returned puts it back, more than once."""
        touched, before = self.touched, [*self.touched]
        seams = {*_seams(touched), *filter(None, [self.seam])}
        was = [(seam, (*seam.left,), (*seam.curved,), (*seam.partly,)) for seam in seams]

        def put_back() -> None:
            for seam in _seams(touched):
                seam.left = [None] * seam.width
            for seam, left, curved, partly in was:
                seam.left, seam.curved, seam.partly = [*left], [*curved], [*partly]
            touched[:] = before

        return put_back

    def after(self, levels: Sequence[Optimizer], params: MutableMapping[str, Tensor]) -> None:
        """Put the weights that a step has made behind a seam."""
        if self.objective == "last":
            self._collect()  # what is of a loss that does not count
        self.steps += 1
        self.seam = Seam(tuple(w.edge for w in params.values()), self.touched)
        self.numbers = {name: n for n, name in enumerate(params)}
        for name, n in self.numbers.items():
            params[name] = Tensor(params[name].array, (self.seam, n)).retain_grad()

    def _collect(self) -> list[tuple[Edge, Tensor]]:
        """All that was left at the window's seams; it is left no more."""
        if not self.touched:
            return []
        seams = _seams(self.touched)
        self.touched.clear()
        return [left for seam in seams for left in seam.collect()]

    def __str__(self) -> str:
        told = {"horizon": self.horizon, "objective": self.objective}
        return ", ".join(f"{name}={value}" for name, value in told.items() if value != self.keywords[name])


def _seams(touched: Sequence[weakref.ref[Seam]]) -> Mapping[Seam, None]:
    """Those that are still alive, each once, in order."""
    return {seam: None for ref in touched if (seam := ref()) is not None}


def _check(level: Optimizer, horizon: Any, objective: Any) -> None:
    """The horizon is a number of steps or None, and belongs to the bottom level of a tower that tunes something."""
    name = type(level).__name__
    if horizon is not None and (isinstance(horizon, bool) or not isinstance(horizon, Integral) or horizon < 1):
        raise ArgumentError(
            f"{name}: horizon must be an integer >= 1, a number of steps, or None, which never cuts, not {horizon!r}"
        )
    one_of(OBJECTIVES, level, "objective", objective)
    at_the_bottom(Window, level, "it moves once a window of the bottom level")
    if horizon not in (1, None) and not level._tuned:
        raise ArgumentError(
            f"{name}: horizon={horizon}, but nothing is tuned. Give the bottom level an optimizer= that tunes "
            "something, or horizon=None to differentiate the whole run yourself"
        )


def register() -> None:
    """Give every tower a window."""
    extend(Window)
    HOOKS["tunes"].append(lambda keywords: keywords["horizon"] is None)
