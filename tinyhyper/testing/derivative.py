"""The derivative of one order against differences: along random directions, and for small arguments entry by entry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ..core.tape import recording, unwatched
from ..core.tensor import Tensor
from ..derivatives import gradients
from ..differences import Array, Slope, lengths, settled, size_of
from ..errors import GradientError
from . import kinks
from .functions import Function, leaves, signs, signs_like
from .reports import Difference, entry, factor

__tracebackhide__ = True  # pytest shows the line that called, not those in here

TOLERANCES = {np.dtype(np.float64): (1e-6, 1e-12), np.dtype(np.float32): (1e-3, 1e-5)}
SMALL = 12  # arguments and results of up to so many entries are checked entry by entry
MANY = 256  # and so many are looked at for the one that is wrong


class Derivative:
    """The derivative of one order: of a function of tensors that gives a list, at float arrays, its named arguments."""

    def __init__(
        self,
        order: int,
        label: str,
        function: Function,
        arrays: Sequence[Array],
        names: Sequence[str],
        rng: np.random.Generator,
        given: tuple[float | None, float | None],
    ) -> None:
        self.order, self.label, self.function, self.arrays, self.names = order, label, function, arrays, names
        self.wide = [a.astype(np.float64) for a in arrays]
        self.lengths = [lengths(a) for a in self.wide]
        self.rng = rng
        self.xs = leaves(arrays)
        with recording():
            self.outs = function(*self.xs)
        self.dtype = min((t.dtype for t in (*self.xs, *self.outs)), key=lambda dtype: dtype.itemsize)
        usual = TOLERANCES[self.dtype]
        self.rtol, self.atol = usual[0] if given[0] is None else given[0], given[1]
        self.fraction = usual[1]
        self.cotangents = [signs_like(rng, out.array) for out in self.outs]

    def check(self) -> None:
        """Compare with differences."""
        self._check_function()
        grads = self._pull(self.cotangents)
        self._check_form(grads)
        if sum(a.size for a in self.arrays) <= SMALL and sum(out.size for out in self.outs) <= SMALL:
            self._check_entries(grads)
        for n, grad in enumerate(grads):
            self._check_direction(n, grad.astype(np.float64))
            self._check_smooth(n)

    def projected(self) -> tuple[Function, list[Array], list[str]]:
        """The gradient as a function of arguments and cotangents: its sum with random weights."""
        count, function = len(self.arrays), self.function
        weights = [signs_like(self.rng, a) * length for a, length in zip(self.arrays, self.lengths)]

        def sum_of_gradients(*tensors: Tensor) -> list[Tensor]:
            xs, outs = tensors[:count], function(*tensors[:count])
            pairs = [(out, c.astype(out.dtype)) for out, c in zip(outs, tensors[count:]) if out.edge is not None]
            grads = gradients([out for out, _ in pairs], xs, [c for _, c in pairs], create_graph=True)
            terms = [(g * w.astype(g.dtype)).sum() for g, w in zip(grads, weights)]
            return [sum(terms[1:], terms[0])]

        more = f" of derivative {self.order}" if self.order > 1 else ""
        several = [f" {n}" if len(self.outs) > 1 else "" for n in range(len(self.outs))]
        names = [*self.names, *[f"cotangent{number}{more}" for number in several]]
        return sum_of_gradients, [*self.arrays, *self.cotangents], names

    # ---- What differences see.

    def _values(self, *arrays: Array) -> Array:
        """All entries of the results, in float64, one after the other."""
        with recording(), unwatched():
            outs = self.function(*leaves(arrays))
        return np.concatenate([out.array.astype(np.float64).ravel() for out in outs])

    def _total(self, *arrays: Array) -> Array:
        """The results times their cotangents, summed."""
        return np.dot(self._weights, self._values(*arrays))

    @cached_property
    def _weights(self) -> Array:
        return np.concatenate([c.astype(np.float64).ravel() for c in self.cotangents])

    # ---- What the tape says.

    def _pull(self, cotangents: Sequence[Array]) -> list[Array]:
        """The gradient with respect to each argument. A result without a graph has none."""
        given = [(out, Tensor(c)) for out, c in zip(self.outs, cotangents) if out.edge is not None]
        before = [c.array.copy() for _, c in given]
        found = gradients([out for out, _ in given], self.xs, [c for _, c in given], retain_graph=True)
        for (_, c), was in zip(given, before):
            if not np.array_equal(c.array, was, equal_nan=True):
                raise self._error("the VJP has written to its cotangent")
        self._check_unwritten("the VJP")
        return [g.array for g in found]

    # ---- Comparisons.

    def _check_function(self) -> None:
        """It gives finite numbers, the same ones at each call, and leaves its arguments alone."""
        self._check_unwritten("f")
        for k, out in enumerate(self.outs):
            if not np.isfinite(out.array).all():
                place = np.argwhere(~np.isfinite(out.array))[0]
                raise self._error(f"{self._result(k, place)} is {out.array[tuple(place)]}: nothing can be compared")
        with recording(), unwatched():
            again = self.function(*leaves(self.arrays))
        for k, (out, other) in enumerate(zip(self.outs, again)):
            if not np.array_equal(out.array, other.array):
                raise self._error(
                    f"two calls at the same point give different values of {self._result(k, ())}: differences have no "
                    "meaning. Draw random numbers once, outside of f, or give a dropout the same seed at each call"
                )

    def _check_unwritten(self, who: str) -> None:
        for x, was, name in zip(self.xs, self.arrays, self.names):
            if not np.array_equal(x.array, was, equal_nan=True):
                place = np.argwhere(x.array != was)[0]
                raise self._error(
                    f"{who} has written to {entry(name, place)}: it was {was[tuple(place)]:.9g}, it is "
                    f"{x.array[tuple(place)]:.9g}. The tape may hold that array; make a new one"
                )

    def _check_form(self, grads: Sequence[Array]) -> None:
        for array, grad, name in zip(self.arrays, grads, self.names):
            if grad.shape != array.shape:
                raise self._error(
                    f"{name} has shape {array.shape}, its gradient {grad.shape}. Along axes that were broadcast, a "
                    "cotangent has to be summed"
                )
            if grad.dtype != array.dtype:
                raise self._error(f"{name} is {array.dtype}, its gradient {grad.dtype}")

    def _check_entries(self, grads: Sequence[Array]) -> None:
        """Every entry of every result by every entry of every argument."""
        units = np.eye(sum(out.size for out in self.outs))
        rows = [self._pull(self._split(unit)) for unit in units]
        for n, array in enumerate(self.wide):
            if array.size and len(units):
                slopes = [self._by_entry(self._values, n, place) for place in range(array.size)]
                found = np.array([row[n].astype(np.float64).ravel() for row in rows])
                self._compare(units, self._result_at, n, np.arange(array.size), found, slopes, bool(grads[n].any()))

    def _check_direction(self, n: int, grad: Array) -> None:
        """The gradient with respect to an argument along one random direction; where that is wrong, entry by entry."""
        wanted, direction = self._slope(self._total, n, signs(self.rng, grad.shape))
        parts = grad * direction
        atol = self._noise if self.atol is None else self.atol * np.abs(direction).sum()
        limit = self.rtol * size_of(parts) + atol
        off = abs(parts.sum() - wanted.value)
        if off <= limit + wanted.error and wanted.error <= 10 * limit:
            return
        places = self._suspects(n, grad)
        slopes = [self._by_entry(self._total, n, place) for place in places]
        found = grad.ravel()[None, places]
        self._compare(self._weights[None], lambda k: self._sum_label, n, places, found, slopes, bool(grad.any()))
        self._check_smooth(n)
        raise self._error(
            f"d {self._sum_label} / d {self.names[n]} along a random direction is {parts.sum():.9g} by the gradient, "
            f"{wanted.value:.9g} by differences; off by {off:.3g}, allowed {limit:.3g}; differences settle to "
            f"{wanted.error:.1g}"
        )

    def _check_smooth(self, n: int) -> None:
        """No kink is where differences and the gradient agree on the middle of two slopes."""
        found = kinks.find(self._values, self._weights, self.wide, n, self.lengths[n], 10 * self.rtol)
        if found is not None:
            where = entry(self.names[n], np.unravel_index(found.place, self.arrays[n].shape))
            raise self._error(
                f"{self.label} has a kink at {where}: slope from the left {found.left:.6g}, from the right "
                f"{found.right:.6g}. There is no derivative to compare with: try another point"
            )

    def _suspects(self, n: int, grad: Array) -> Array:
        """Up to MANY entries of an argument, among them those that make a gradient wrong: half after half."""
        places = np.arange(grad.size)
        while places.size > MANY:
            halves = np.array_split(places, 2)
            places = halves[int(np.argmax([self._mismatch(n, grad, half) for half in halves]))]
        return places

    def _mismatch(self, n: int, grad: Array, places: Array) -> float:
        pattern = np.zeros(grad.shape)
        pattern.flat[places] = signs(self.rng, places.shape)
        wanted, direction = self._slope(self._total, n, pattern)
        return float(np.nan_to_num(abs(np.sum(grad * direction) - wanted.value), nan=np.inf))

    def _by_entry(self, function: Callable[..., Array], n: int, place: int) -> Slope:
        pattern = np.zeros(self.arrays[n].shape)
        pattern.flat[place] = 1.0
        found, direction = self._slope(function, n, pattern)
        length = direction.flat[place]
        return Slope(found.value / length, found.error / length)

    def _slope(self, function: Callable[..., Array], n: int, pattern: Array) -> tuple[Slope, Array]:
        """The slope with respect to the n-th argument along a pattern, and that in the argument's units.

        Where a step of the argument's usual size leads out of the function's domain, each entry's own size is taken.
        """
        for sizes in (self.lengths[n], np.abs(self.wide[n])):
            direction = pattern * np.where(sizes == 0, self.lengths[n], sizes)
            directions = [direction if m == n else np.zeros(a.shape) for m, a in enumerate(self.wide)]
            found = settled(function, self.wide, directions)
            if np.isfinite(found.error).all():
                break
        return found, direction

    def _compare(
        self,
        rows: Array,
        name: Callable[[int], str],
        n: int,
        places: Array,
        found: Array,
        slopes: Sequence[Slope],
        reached: bool,
    ) -> None:
        """Raise for the worst entry of an argument, if one is wrong or cannot be told to be right.

        rows: what of the results is differentiated, as weights of their entries, and its name.  places: by which
        entries of the argument.  found: the derivatives, (rows, places).  slopes: by place.  reached: whether any
        gradient is not 0.
        """
        wanted, error = (np.array([slope[part] for slope in slopes]).reshape(len(places), -1).T for part in (0, 1))
        lengths = self.lengths[n].ravel()[places]
        with np.errstate(invalid="ignore", divide="ignore"):
            off = np.abs(found - wanted)
            limit = self.rtol * size_of(wanted[np.isfinite(wanted)]) + np.zeros(off.shape)
            limit += self._noise / lengths if self.atol is None else self.atol
            wrong, unsure = ~(off <= limit + error), error > 10 * limit
            rank = np.where(wrong, 2.0, 1.0 * unsure) + np.nan_to_num(1.0 - limit / off, nan=1.0, neginf=0.0)
        if not (wrong | unsure).any():
            return
        k, p = np.unravel_index(int(np.argmax(rank)), off.shape)
        place = int(places[p])
        where = entry(self.names[n], np.unravel_index(place, self.arrays[n].shape))
        hint = kinks.told(self._values, rows[k], self.wide, n, place, lengths[p], where)
        if not hint and wrong[k, p]:
            hint = factor(found, wanted, wrong, reached)
        if not hint:
            hint = f"Differences settle to {error[k, p]:.1g} only: try another point, or a smoother f"
        raise self._error(
            Difference(
                f"d {name(int(k))} / d {where}",
                found[k, p],
                wanted[k, p],
                limit[k, p],
                f"rtol={self.rtol:g} for {self.dtype}",
            ).told("by the gradient", "by differences"),
            hint,
        )

    @cached_property
    def _noise(self) -> float:
        """How much the product of a derivative and its argument may be off, whatever its size."""
        return self.fraction * float(np.dot(np.abs(self._weights), np.abs(self._values(*self.wide))))

    # ---- Names.

    @property
    def _sum_label(self) -> str:
        return "sum(c * f)" if self.label == "f" else self.label

    def _result(self, k: int, place: Sequence[Any]) -> str:
        return entry(f"{self.label}, result {k}" if len(self.outs) > 1 else self.label, place)

    def _result_at(self, number: int) -> str:
        """The name of an entry, counted through all results."""
        k = 0
        while number >= self.outs[k].size:
            number, k = number - self.outs[k].size, k + 1
        return self._result(k, np.unravel_index(number, self.outs[k].shape))

    def _split(self, entries: Array) -> list[Array]:
        """Entries of all results as arrays of their shapes and dtypes."""
        ends = np.cumsum([out.size for out in self.outs])[:-1]
        return [part.reshape(out.shape).astype(out.dtype) for part, out in zip(np.split(entries, ends), self.outs)]

    def _error(self, what: str, *hints: str) -> GradientError:
        return GradientError("\n  ".join([f"check_gradients, order {self.order}: {what}", *filter(None, hints)]))
