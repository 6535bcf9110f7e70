"""Where tensors meet other code: operands of other libraries, values that leave a graph, masked arrays."""

import array
import asyncio
import collections
import ctypes
import functools
import itertools
import logging
import math
import operator
import statistics
import struct
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import tinyhyper as th

BINARY = [
    operator.add, operator.sub, operator.mul, operator.truediv, operator.pow, operator.matmul, operator.floordiv,
    operator.mod, divmod, operator.and_, operator.or_, operator.xor,
]  # fmt: skip
COMPARISONS = [operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne]


class Foreign:
    """An array of another library, whose operators answer with their name and what they met."""

    __array_ufunc__ = None
    __hash__ = object.__hash__

    def __array__(self, dtype=None, copy=None):
        return np.ones(2)


class Ruled(Foreign):
    """Another one, that has NumPy's functions answer so too."""

    def __array_ufunc__(self, ufunc, method, *args, **kwargs):
        return ufunc.__name__, method, args

    def __array_function__(self, function, types, args, kwargs):
        return function.__name__, args


class Silent(Foreign):
    """One that knows no operators."""


def answer(name):
    return lambda self, *others: (name, *others)


for function in BINARY:
    name = function.__name__.strip("_")
    setattr(Foreign, f"__r{name}__", answer(name))
    setattr(Foreign, f"__{name}__", lambda self, other: NotImplemented)
    setattr(Silent, f"__r{name}__", lambda self, other: NotImplemented)
for function in COMPARISONS:
    setattr(Foreign, f"__{function.__name__}__", answer(function.__name__))
    setattr(Silent, f"__{function.__name__}__", lambda self, other: NotImplemented)

MIRRORED = {"lt": "gt", "le": "ge", "gt": "lt", "ge": "le"}


@pytest.mark.parametrize("kind", [Foreign, Ruled])
@pytest.mark.parametrize("requires_grad", [False, True])
def test_an_operand_with_rules_of_its_own_has_the_word(kind, requires_grad):
    x, other = th.tensor([1.0, 2.0], requires_grad=requires_grad), kind()
    for function in BINARY:
        assert function(x, other) == (function.__name__.strip("_"), x)
    for function in COMPARISONS:
        assert function(x, other) == (MIRRORED.get(function.__name__, function.__name__), x)


def test_operators_that_nobody_knows_are_python_s_type_error():
    x = th.tensor([1.0, 2.0])
    for function in BINARY:
        for pair in ((x, Silent()), (Silent(), x)):
            with pytest.raises(TypeError, match="unsupported operand"):
                function(*pair)
    assert x != Silent() and not x == Silent()


def test_numpy_s_functions_leave_the_word_to_types_of_other_libraries():
    x, other = th.tensor([1.0, 2.0], requires_grad=True), Ruled()
    assert np.multiply(x, other) == ("multiply", "__call__", (x, other))
    assert np.add(other, x) == ("add", "__call__", (other, x))
    assert np.concatenate([x, other]) == ("concatenate", ([x, other],))
    assert np.where(x.data > 0, x, other)[0] == "where"
    with pytest.raises(TypeError):
        np.multiply(x, Foreign())


def test_arrays_and_their_plain_subclasses_are_operands():
    class Named(np.ndarray):
        pass

    x = th.tensor([1.0, 2.0], requires_grad=True)
    for other in (np.array([3.0, 4.0]), np.array([3.0, 4.0]).view(Named), [3.0, 4.0]):
        for found in (x * other, other * x if isinstance(other, np.ndarray) else x * other, np.multiply(x, other)):
            assert isinstance(found, th.Tensor) and found.data.tolist() == [3.0, 8.0]
    assert (np.float64(2.0) * x).data.tolist() == [2.0, 4.0]
    assert (x == None) is False  # noqa: E711


def _put(index):
    def put(x):
        np.zeros((2, 2))[index] = x

    return put


def _put_flat(x):
    np.zeros(3).flat[0] = x


def _put_beside_a_conversion(x):
    r = np.zeros(3)
    r[int(float(x))] = x


def _put_integer(x):
    np.zeros(3, int)[0] = x


def _by_another_name(x, cast=math.sqrt):
    cast(x)


def _bound_fill(x):
    fill = np.zeros(1).fill
    fill(x)


def _next_of(function):
    def next_of(x):
        mapped = map(function, [x, x])
        return next(mapped)

    return next_of


class Field(ctypes.Structure):
    _fields_ = (("value", ctypes.c_double),)
    cast = float


def _set_field(x):
    Field().value = x


def _loop_into(x):
    r = np.zeros(1)
    for r[0] in [x]:
        pass


def _in_a_thread(function, x):
    with ThreadPoolExecutor(1) as pool:
        return list(pool.map(function, [x]))[0]


def _local(x):
    cast = float
    return cast(x)


def _default(x, cast=float):
    return cast(x)


def _of_a_call(x, function=th.sum):
    return float(function(x))


async def _awaited(x):
    async def double(x):
        return x * 2.0

    return float(await double(x)) / 2, float(x)


def _attribute(x, owner=Field):
    return owner.cast(x)


def _bound(x):
    number = x.__float__
    return number()


def _unpacked(x):
    a, *_ = map(float, [x, x])
    return a


def _yielding(x):
    yield from map(float, [x])


def _looped(x):
    for a, _ in zip(map(float, [x]), np.arange(1)):
        return a


CUTS = {
    "r[0, 1] = x": _put((0, 1)),
    "r[0] = x": _put(0),
    "r[:] = x": _put(slice(None)),
    "r.flat[0] = x": _put_flat,
    "r[int(float(x))] = x": _put_beside_a_conversion,
    "i[0] = x": _put_integer,
    "r.__setitem__": lambda x: np.zeros(3).__setitem__(0, x),
    "operator.setitem": lambda x: operator.setitem(np.zeros(3), 0, x),
    "fill": lambda x: np.zeros(3).fill(x),
    "fill integers": lambda x: np.zeros(3, int).fill(x),
    "fromiter": lambda x: np.fromiter([x], float),
    "fromiter dtype": lambda x: np.fromiter((x for _ in range(2)), dtype=float),
    "np.float64": lambda x: np.float64(x),
    "np.float32": lambda x: np.float32(x),
    "np.array": lambda x: np.array([x]),
    "np.full": lambda x: np.full(3, x),
    "initial": lambda x: np.ones(3).sum(initial=x),
    "math.sqrt": lambda x: math.sqrt(x),
    "math.floor": lambda x: math.floor(x),
    "math.pow": lambda x: math.pow(2.0, x),
    "math.fsum": lambda x: math.fsum([x, x]),
    "math.sqrt by another name": _by_another_name,
    "fill beside float": lambda x: (np.zeros(1, float).fill(x), float(x)),
    "fill beside a map": lambda x: (list(map(float, [1, 2])), np.zeros(1).fill(x)),
    "fromiter of a sum": lambda x: np.fromiter([th.sum(x * x)], dtype=float),
    "a bound fill": _bound_fill,
    "a map in a variable": _next_of(math.sqrt),
    "a key": lambda x: sorted([x, x], key=math.sqrt),
    "a partial": lambda x: functools.partial(math.pow, 2.0)(x),
    "one map of two": lambda x: list(zip(map(float, [x]), map(math.sqrt, [x]))),
    "a map inside a map": lambda x: list(map(float, map(math.sqrt, [x]))),
    "a map in float": lambda x: float(*map(math.sqrt, [x])),
    "beside a sum of a map": lambda x: math.pow(sum(map(float, [x])), x),
    "a choice of functions": lambda x: (math.sqrt if x else float)(x),
    "a loop": lambda x: [v + 1 for v in map(math.sqrt, [x])],
    "reduce": lambda x: functools.reduce(math.pow, [x, x]),
    "a field": lambda x: setattr(Field(), "value", x),
    "a field set": _set_field,
    "for r[0] in": _loop_into,
    "frompyfunc": lambda x: np.frompyfunc(math.sqrt, 1, 1)(x),
    "statistics": lambda x: statistics.fmean([x, x]),
    "a thread": lambda x: _in_a_thread(math.sqrt, x),
    "beside float": lambda x: math.sqrt(x) + float(x),
    "inside float": lambda x: float(math.sqrt(x)),
    "mapped": lambda x: [*map(math.sqrt, [x])],
    "array": lambda x: array.array("d", [x]),
    "struct": lambda x: struct.pack("d", x),
    "round": lambda x: round(x, 2),
}
ANSWERS = {
    "float": lambda x: float(x),
    "int": lambda x: int(x) + 0.25,
    "complex": lambda x: complex(x).real,
    "a list": lambda x: [float(v) for v in (x, x)][1],
    "a choice": lambda x: float(x if x else -x),
    "lines": lambda x: float(
        x
    ),
    "mapped": lambda x: list(map(float, [x]))[0],
    "mapped over lines": lambda x: list(
        map(float, [x])
    )[0],
    "summed over lines": lambda x: sum(
        map(float, [x, x])
    ) / 2,
    "a loop over lines": lambda x: [
        a * 1.0
        for a in map(float, [x])
    ][0],
    "the next": lambda x: next(map(float, [x])),
    "the next of a variable": _next_of(float),
    "the largest": lambda x: max([x, x], key=float).item(),
    "sorted": lambda x: sorted([x, x], key=float)[0].item(),
    "a local name": _local,
    "an argument's name": _default,
    "of a call": _of_a_call,
    "awaited": lambda x: asyncio.run(_awaited(x))[0],
    "an attribute": _attribute,
    "partial": lambda x: functools.partial(float)(x),
    "in brackets": lambda x: (float)(x),
    "a thread": lambda x: _in_a_thread(float, x),
    "unpacked": _unpacked,
    "yield from": lambda x: next(_yielding(x)),
    "for": _looped,
    "*": lambda x: max(*map(float, [x, x])),
    "* in float": lambda x: float(*[x]),
    "filter": lambda x: next(filter(math.isfinite, [x])).item(),
    "itertools": lambda x: next(itertools.chain(map(float, [x]))),
    "a map that math takes": lambda x: math.fsum(map(float, [x])),
    "a map that NumPy takes": lambda x: np.fromiter(map(float, [x]), dtype=float)[0],
    "__float__": lambda x: x.__float__(),
    "__float__ of a result": lambda x: (x * 1.0).__float__(),
    "__float__ of the class": lambda x: next(map(th.Tensor.__float__, [x])),
    "a bound __float__": _bound,
    "__int__": lambda x: x.__int__() + 0.25,
    "inside math": lambda x: math.sqrt(float(x)) ** 2,
    "in an array": lambda x: np.array([float(x)])[0],
    "item": lambda x: math.sqrt(x.item()) ** 2,
    "detached": lambda x: math.sqrt(x.detach()) ** 2,
    "f-string": lambda x: float(f"{x:.3f}"),
    "an f-string of float": lambda x: float(f"{float(x):.3f}"),
    "format": lambda x: float(format(x, ".3f")),
    "percent": lambda x: float("%.3f" % x),  # noqa: UP031
    "isfinite": lambda x: 2.25 * math.isfinite(x) + math.isnan(x),
    "truth": lambda x: 2.25 if x else 0.0,
}  # fmt: skip


@pytest.mark.parametrize("way", CUTS)
def test_no_array_and_no_function_of_numbers_cuts_a_graph_without_a_word(way):
    """An error of NumPy's own stands at the end where NumPy replaces ours, which is then told as its cause."""
    leaf = th.tensor(2.25, requires_grad=True)
    for x in (leaf, leaf * 1.0):
        with pytest.raises((th.TinyhyperError, ValueError, struct.error)) as caught:
            CUTS[way](x)
        told = str(caught.value.__cause__ or caught.value)
        assert "item()" in told or "x.numpy()" in told or way in ("r.flat[0] = x", "struct")
        with pytest.raises((th.TinyhyperError, ValueError, struct.error)):
            th.grad(lambda v: (CUTS[way](v), v * v)[1])(2.25)


@pytest.mark.parametrize("way", ANSWERS)
def test_a_conversion_by_name_and_formatting_give_the_number(way):
    leaf = th.tensor(2.25, requires_grad=True)
    for x in (leaf, leaf * 1.0, leaf.detach()):
        assert ANSWERS[way](x) == pytest.approx(2.25)
    assert th.grad(lambda v: v * ANSWERS[way](v))(2.25).item() == pytest.approx(2.25)


def test_each_of_many_conversions_is_looked_at_in_time_of_its_own():
    scope, x = {}, th.tensor(2.25, requires_grad=True)
    exec("def convert(x):\n" + " a = (float)(x)\n" * 1500 + " return a", scope)
    start = time.perf_counter()
    assert scope["convert"](x) == 2.25
    assert time.perf_counter() - start < 5.0


def test_logging_and_asserting_a_loss(caplog):
    x = th.tensor(2.25, requires_grad=True)
    assert float(x) == 2.25 and f"{x}" == repr(x)
    with caplog.at_level(logging.INFO):
        logging.getLogger("training").info("loss %.2f", x * 1.0)
    assert caplog.messages == ["loss 2.25"]


def test_what_is_on_no_graph_any_more_is_a_number_to_everybody():
    history, x = np.zeros(3), th.tensor(2.25, requires_grad=True)
    loss = x * x
    loss.backward()
    history[0] = loss
    with th.no_grad():
        history[1] = x * x
        history[2] = math.sqrt(x)
    assert history.tolist() == [2.25**2, 2.25**2, 1.5]


MASKED = np.ma.array([1.0, 2.0], mask=[False, True])
PLACES = np.ma.array([0, 1], mask=[False, True])


@pytest.mark.filterwarnings("ignore:Warning. converting a masked element")
@pytest.mark.parametrize(
    "call",
    [
        lambda x: th.tensor([MASKED, MASKED]),
        lambda x: th.tensor([[1.0, 2.0], MASKED]),
        lambda x: th.tensor(([MASKED], [MASKED])),
        lambda x: th.tensor([1.0, np.ma.masked]),
        lambda x: th.tensor([[1.0], [np.ma.masked]]),
        lambda x: th.tensor(np.ma.array([1.0, 2.0])),
        lambda x: th.tensor(collections.deque([MASKED, MASKED])),
        lambda x: th.tensor(collections.UserList([[MASKED]])),
        lambda x: x[(PLACES,)],
        lambda x: x[[PLACES, PLACES]],
        lambda x: x[None, PLACES > 0],
        lambda x: x[PLACES > 0],
        lambda x: th.take(x, PLACES, axis=0),
        lambda x: th.repeat(x, [PLACES], axis=0),
        lambda x: th.pad(x, 1, constant_values=MASKED),
        lambda x: MASKED * x,
        lambda x: MASKED - x,
        lambda x: x @ MASKED,
        lambda x: x < MASKED,
        lambda x: np.multiply(x, MASKED),
        lambda x: np.multiply(MASKED, x),
        lambda x: np.concatenate([x, MASKED]),
        lambda x: np.where(MASKED > 0, x, 0.0),
        lambda x: th.maximum(x, MASKED),
        lambda x: x.backward(MASKED),
        lambda x: setattr(x, "data", MASKED),
        lambda x: th.grad(th.sum)(MASKED),
    ],
)
def test_a_masked_array_is_refused_before_it_loses_its_mask(call):
    x = th.tensor([3.0, 4.0], requires_grad=True)
    with pytest.raises(th.DtypeError, match=r"masked.*\.filled\("):
        call(x)
    assert x.grad is None and x.data.tolist() == [3.0, 4.0]


def test_an_integer_in_the_place_of_a_masked_number():
    with pytest.raises(th.ArgumentError, match="masked"):
        th.tensor([1, np.ma.masked], dtype=int)
    assert np.isnan(th.tensor([[1.0, np.nan], [2.0, 3.0]]).data[0, 1])
