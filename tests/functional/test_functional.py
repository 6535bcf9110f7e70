"""Derivatives of functions: against each other, against differences, and in every structure."""

from collections import ChainMap, Counter, OrderedDict, UserDict, defaultdict, namedtuple
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinyhyper as th

Pair = namedtuple("Pair", "a b")
SHAPES = st.sampled_from([(), (1,), (3,), (2, 3), (0,)])
SEEDS = st.integers(0, 2**16)


def smooth(x):
    """A function of any shape to one number, none of whose derivatives vanish."""
    return th.sum(th.sin(x) * th.exp(0.3 * x)) + th.sum(x) ** 3 / 10.0


def mixing(x):
    """A function of any shape to a vector of four elements that each depend on all of x."""
    return th.stack([th.sum(th.sin(x + float(n))) ** 2 for n in range(4)])


def values(seed, *shape, dtype=np.float64):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(dtype)


def differences(f, x, step=1e-5):
    """df(x)/dx by central differences, of shape f(x).shape + x.shape."""
    columns = []
    for place in np.ndindex(x.shape):
        ahead, behind = x.copy(), x.copy()
        ahead[place] += step
        behind[place] -= step
        columns.append((np.asarray(f(ahead).numpy()) - f(behind).numpy()) / (2 * step))
    out = f(x).shape
    return np.stack(columns, -1).reshape(out + x.shape) if columns else np.zeros(out + x.shape)


@given(shape=SHAPES, seed=SEEDS)
def test_grad_is_the_derivative(shape, seed):
    x = values(seed, *shape)
    np.testing.assert_allclose(th.grad(smooth)(x).numpy(), differences(smooth, x), rtol=1e-6, atol=1e-8)


@given(shape=SHAPES, seed=SEEDS)
def test_value_and_grad_gives_both(shape, seed):
    x = values(seed, *shape)
    value, gradient = th.value_and_grad(smooth)(x)
    np.testing.assert_array_equal(value.numpy(), smooth(th.tensor(x)).numpy())
    np.testing.assert_array_equal(gradient.numpy(), th.grad(smooth)(x).numpy())
    assert not value.requires_grad and not gradient.requires_grad


@given(shape=SHAPES, seed=SEEDS)
def test_jacobian_is_the_derivative(shape, seed):
    x = values(seed, *shape)
    np.testing.assert_allclose(th.jacobian(mixing)(x).numpy(), differences(mixing, x), rtol=1e-6, atol=1e-8)


@given(shape=SHAPES, seed=SEEDS)
def test_hessian_is_the_derivative_of_grad_and_symmetric(shape, seed):
    x = values(seed, *shape)
    found = th.hessian(smooth)(x).numpy()
    assert found.shape == shape + shape
    np.testing.assert_allclose(found, differences(th.grad(smooth), x), rtol=1e-5, atol=1e-7)
    square = found.reshape(x.size, x.size)
    np.testing.assert_allclose(square, square.T, rtol=1e-12, atol=1e-14)


@given(shape=SHAPES, seed=SEEDS)
def test_vjp_and_jvp_are_products_with_the_jacobian(shape, seed):
    x, along, cotangent = values(seed, *shape), values(seed + 1, *shape), values(seed + 2, 4)
    jacobian = th.jacobian(mixing)(x).numpy().reshape(4, x.size)
    out, pullback = th.vjp(mixing, x)
    for _ in range(2):  # it can be called again
        (pulled,) = pullback(cotangent)
        np.testing.assert_allclose(pulled.numpy(), (cotangent @ jacobian).reshape(shape), rtol=1e-9, atol=1e-12)
    same, pushed = th.jvp(mixing, (x,), (along,))
    np.testing.assert_allclose(pushed.numpy(), jacobian @ along.ravel(), rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(out.numpy(), same.numpy())
    assert not any(result.requires_grad for result in (out, pulled, same, pushed))


@given(shape=SHAPES, seed=SEEDS)
def test_hvp_is_the_product_with_the_hessian(shape, seed):
    x, along = values(seed, *shape), values(seed + 1, *shape)
    hessian = th.hessian(smooth)(x).numpy().reshape(x.size, x.size)
    found = th.hvp(smooth, (x,), (along,))[0]
    np.testing.assert_allclose(found.numpy(), (hessian @ along.ravel()).reshape(shape), rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(th.hvp(smooth, x, along).numpy(), found.numpy())


@given(x=st.floats(0.5, 2), order=st.integers(1, 6))
def test_grad_composes_to_any_order(x, order):
    f, factor = (lambda x: x**7.0), 1.0
    for n in range(order):
        f, factor = th.grad(f), factor * (7 - n)
    assert f(x).item() == pytest.approx(factor * x ** (7 - order), rel=1e-9)


@given(x=st.floats(-2, 2), y=st.floats(-2, 2))
def test_grad_inside_a_function_keeps_what_is_outside(x, y):
    """d/dy d/dx of sin(x) y^3, where the inner function reads y from around it, and where x depends on y."""
    mixed = th.grad(lambda y: th.grad(lambda x: th.sin(x) * y**3.0)(x))
    assert mixed(y).item() == pytest.approx(np.cos(x) * 3 * y**2, rel=1e-9, abs=1e-12)
    through = th.grad(lambda y: th.grad(th.sin)(y * x))
    assert through(y).item() == pytest.approx(-np.sin(y * x) * x, rel=1e-9, abs=1e-12)


def test_a_gradient_stays_on_the_graph_of_its_argument():
    x = th.tensor([1.0, 2.0], requires_grad=True)
    for inner in (
        th.grad(lambda v: th.sum(v**3.0))(x),
        th.vjp(lambda v: v**3.0, x)[1](np.ones(2))[0],
        th.jvp(lambda v: v**3.0, (x,), (np.ones(2),))[1],
    ):
        inner.sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), [6.0, 12.0])
        x.grad = None
    for constant in (th.grad(lambda v: th.sum(v**3.0))(x.detach()), th.no_grad()(th.grad(lambda v: th.sum(v**3.0)))(x)):
        assert not constant.requires_grad
        np.testing.assert_allclose(constant.numpy(), [3.0, 12.0])


def test_structures_are_mirrored():
    arguments = {"w": [th.tensor([1.0, 2.0]), 3.0], "rest": Pair(np.float64(4.0), (np.ones(2),))}

    def f(p, scale):
        total = th.sum(p["w"][0]) * p["w"][1] * p["rest"].a + th.sum(p["rest"].b[0])
        return total * scale

    found = th.grad(f)(arguments, 2.0)
    assert list(found) == ["w", "rest"] and isinstance(found["rest"], Pair)
    np.testing.assert_array_equal(found["w"][0].numpy(), [24.0, 24.0])
    assert found["w"][1].item() == 24.0 and found["rest"].a.item() == 18.0
    np.testing.assert_array_equal(found["rest"].b[0].numpy(), [2.0, 2.0])
    by_both = th.grad(f, argnums=(1, 0))(arguments, 2.0)
    assert by_both[0].item() == 38.0 and by_both[1]["w"][1].item() == 24.0
    blocks = th.hessian(f)(arguments, 2.0)
    np.testing.assert_array_equal(blocks["w"][0]["w"][1].numpy(), [8.0, 8.0])
    assert blocks["w"][1]["rest"].a.shape == ()
    products = th.hvp(f, (arguments, 2.0), (arguments, 0.0))
    assert products[0]["w"][1].item() == pytest.approx(24.0 * 2)


def test_outputs_may_be_structures():
    def f(x):
        return {"square": x * x, "parts": (th.sum(x), 5.0)}

    x = np.array([1.0, 2.0])
    out, pullback = th.vjp(f, x)
    assert out["parts"][1].item() == 5.0
    np.testing.assert_array_equal(pullback({"square": np.ones(2), "parts": (2.0, 1.0)})[0].numpy(), 2 * x + 2)
    _, pushed = th.jvp(f, (x,), (np.ones(2),))
    np.testing.assert_array_equal(pushed["square"].numpy(), 2 * x)
    assert pushed["parts"][0].item() == 2.0 and pushed["parts"][1].item() == 0.0
    np.testing.assert_array_equal(th.jacobian(f)(x)["square"].numpy(), np.diag(2 * x))


@given(shape=SHAPES, seed=SEEDS, dtype=st.sampled_from([np.float32, np.float64]))
def test_arguments_are_unchanged_and_dtypes_kept(shape, seed, dtype):
    array = values(seed, *shape, dtype=dtype)
    leaf, before = th.tensor(array, requires_grad=True), array.copy()
    for derivative in (th.grad(smooth), th.jacobian(smooth), lambda x: th.jvp(smooth, (x,), (x,))[1]):
        for x in (array, leaf):
            assert derivative(x).dtype == dtype
    assert leaf.grad is None
    np.testing.assert_array_equal(array, before)
    np.testing.assert_array_equal(leaf.numpy(), before)


def test_constant_functions_have_zero_derivatives():
    x = np.ones(2)
    assert th.grad(lambda x: 3.0)(x).numpy().tolist() == [0.0, 0.0]
    assert th.grad(lambda x, y: th.sum(y), argnums=0)(x, x).numpy().tolist() == [0.0, 0.0]
    assert th.jvp(lambda x: th.tensor([1.0]), (x,), (x,))[1].numpy().tolist() == [0.0]
    assert th.jacobian(lambda x: th.tensor([1.0]))(x).shape == (1, 2)


def test_keywords_are_passed_on():
    assert th.grad(lambda x, *, power: x**power)(2.0, power=3.0).item() == 12.0
    assert th.grad(smooth).__name__ == "smooth"


@pytest.mark.parametrize("derivative", [th.grad, th.value_and_grad, th.jacobian, th.hessian])
class TestErrors:
    @pytest.mark.parametrize("x", [3, True, np.arange(3), th.tensor([1, 2])])
    def test_integers(self, derivative, x):
        with pytest.raises(th.DtypeError, match="float"):
            derivative(th.sum)(x)

    @pytest.mark.parametrize("x", ["text", None, {"a": "text"}])
    def test_other_things(self, derivative, x):
        with pytest.raises(th.DtypeError, match="cannot differentiate with respect to a"):
            derivative(lambda x: 1.0)(x)

    @pytest.mark.parametrize("argnums", [1, -2, (0, 1), 1.0, "x", True, np.True_, (np.False_,), None, np.float64(0.0)])
    def test_argnums(self, derivative, argnums):
        with pytest.raises(th.ArgumentError, match="argnums"):
            derivative(th.sum, argnums)(1.0)


def test_an_error_of_the_function_leaves_everything_as_it_was():
    x = th.tensor([1.0], requires_grad=True)
    with pytest.raises(ZeroDivisionError):
        th.grad(lambda x: 1 / 0)(x)
    assert x.grad is None
    (x * x).backward()
    assert x.grad.item() == 2.0


class Attributes(dict):
    """Items are attributes, as one often finds it written."""

    __getattr__ = dict.__getitem__


class Shared(dict):
    """Items are attributes because they are kept where these are."""

    def __init__(self, *args):
        super().__init__(*args)
        self.__dict__ = self


class Scaled(dict):
    """A dict that keeps something beside its items, and is made in its own way."""

    def __init__(self, scale, items):
        super().__init__(items)
        self.scale = scale


class Slots(dict):
    """A dict that keeps something beside its items, though it has no attributes."""

    __slots__ = ("scale",)


def slotted(items):
    made = Slots(items)
    made.scale = 7
    return made


class Frozen(Mapping):
    def __init__(self, items):
        self.own = dict(items)

    def __getitem__(self, key):
        return self.own[key]

    def __iter__(self):
        return iter(self.own)

    def __len__(self):
        return len(self.own)


class Inert(Frozen):
    """It cannot be made of items alone."""

    def __init__(self, first, items):
        super().__init__(items)


class Doubling(Frozen):
    def __init__(self, items):
        super().__init__({key: [item, item] for key, item in dict(items).items()})


class Row(list):
    def __init__(self, title, items):
        super().__init__(items)
        self.title = title


class Fixed(tuple):
    """A tuple that is not told from others by names."""


def filled(default, items):
    made = defaultdict(default)
    made.update(items)
    return made


ITEMS = {"b": np.array([3.0, 3.0]), "items": np.array([1.0, 1.0])}
MAPPINGS = [
    ITEMS,
    OrderedDict(ITEMS),
    filled(list, ITEMS),
    Counter(ITEMS),
    UserDict(ITEMS),
    ChainMap({"items": ITEMS["items"]}, {"b": ITEMS["b"]}),
    MappingProxyType(ITEMS),
    Attributes(ITEMS),
    Shared(ITEMS),
    Scaled(7, ITEMS),
    slotted(ITEMS),
    Frozen(ITEMS),
]


@pytest.mark.parametrize("p", MAPPINGS, ids=lambda p: type(p).__name__)
class TestMappings:
    """A mapping reaches the function as itself, and what is given for it is matched by its keys."""

    def f(self, p):
        self.seen = p
        b = p.b if isinstance(p, (Attributes, Shared)) else p["b"]
        return th.sum(b**2.0) + th.sum(p["items"] ** 4.0)

    def test_every_derivative_has_its_type(self, p):
        other = {"items": np.zeros(2), "b": np.array([1.0, 0.0])}
        value, along = th.jvp(self.f, (p,), (other,))
        assert value.item() == 20.0 and along.item() == 6.0
        found = [th.hvp(self.f, p, other), th.hvp(self.f, [p], [other])[0], th.grad(self.f)(p)]
        assert [x["b"].numpy().tolist() for x in found] == [[2.0, 0.0], [2.0, 0.0], [6.0, 6.0]]
        assert [x["items"].numpy().tolist() for x in found] == [[0.0, 0.0], [0.0, 0.0], [4.0, 4.0]]
        assert th.hessian(self.f)(p)["b"]["items"].shape == (2, 2)
        for x in (*found, self.seen):
            assert type(x) is type(p) and list(x) == list(p)
            assert not isinstance(x, (Scaled, Slots)) or x.scale == 7
            assert not isinstance(x, defaultdict) or x.default_factory is list
        assert p["b"] is ITEMS["b"] and p["items"] is ITEMS["items"]

    def test_a_pullback_takes_cotangents_by_key(self, p):
        out, pullback = th.vjp(lambda q: q, p)
        assert type(out) is type(p)
        (pulled,) = pullback({"items": np.zeros(2), "b": np.ones(2)})
        assert pulled["b"].numpy().tolist() == [1.0, 1.0] and pulled["items"].numpy().tolist() == [0.0, 0.0]


KEYS = st.one_of(st.text(max_size=3), st.integers(), st.tuples(st.integers()))
NESTED = st.recursive(
    st.floats(0.5, 2.0),
    lambda inner: st.one_of(
        st.dictionaries(KEYS, inner, max_size=3),
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.builds(Pair, inner, inner),
    ),
    max_leaves=8,
)


def shuffled(structure, draw):
    """The same with the keys of every dict in another order."""
    if isinstance(structure, dict):
        return {key: shuffled(structure[key], draw) for key in draw(st.permutations(list(structure)))}
    items = [shuffled(item, draw) for item in structure] if isinstance(structure, (list, tuple)) else structure
    return Pair(*items) if isinstance(structure, Pair) else type(structure)(items)


def flat(structure):
    """Each value by its place."""
    if isinstance(structure, dict):
        pairs = structure.items()
    elif isinstance(structure, (list, tuple)):
        pairs = enumerate(structure)
    else:
        return {(): float(getattr(structure, "data", structure))}
    return {(key, *place): value for key, item in pairs for place, value in flat(item).items()}


def cubes(p):
    return sum((x**3.0 for x in values_of(p)), th.tensor(0.0))


def values_of(p):
    items = p.values() if isinstance(p, dict) else p if isinstance(p, (list, tuple)) else None
    return [p] if items is None else [x for item in items for x in values_of(item)]


@given(structure=NESTED, data=st.data())
def test_vectors_are_matched_by_key_however_deep(structure, data):
    p, v = {"p": structure}, shuffled({"p": structure}, data.draw)
    wanted = {place: 6 * x * x for place, x in flat(p).items()}
    assert flat(th.hvp(cubes, p, v)) == pytest.approx(wanted)
    assert th.jvp(cubes, p, v)[1].item() == pytest.approx(sum(3 * x**3 for x in flat(p).values()))
    _, pullback = th.vjp(lambda x: mirrored(p, x), 1.0)
    assert pullback(v)[0].item() == pytest.approx(sum(x * x for x in flat(p).values()))


def mirrored(structure, x):
    if isinstance(structure, dict):
        return {key: mirrored(item, x) for key, item in structure.items()}
    if isinstance(structure, (list, tuple)):
        items = [mirrored(item, x) for item in structure]
        return Pair(*items) if isinstance(structure, Pair) else type(structure)(items)
    return x * structure


Riap = namedtuple("Riap", "b a")
TWO = {"a": np.ones(2), "b": [np.ones(3), 1.0]}


@pytest.mark.parametrize(
    "other, place, told",
    [
        ({"a": np.ones(2), "c": [np.ones(3), 1.0]}, "", "{'a': (2,), 'c': [(3,), ()]}"),
        ({"a": np.ones(2)}, "", "{'a': (2,)}"),
        ({**TWO, "c": 1.0}, "", "'c': ()"),
        ([np.ones(2), [np.ones(3), 1.0]], "", "[(2,), [(3,), ()]]"),
        ({**TWO, "b": {0: np.ones(3), 1: 1.0}}, "['b']", "{0: (3,), 1: ()}"),
        ({**TWO, "b": [np.ones(3)]}, "['b']", "[(3,)]"),
        ({**TWO, "b": [np.ones(2), 1.0]}, "['b'][0]", "(2,)"),
        ({**TWO, "a": [1.0, 1.0]}, "['a']", "[(), ()]"),
        ({**TWO, "a": (1.0,)}, "['a']", "((),)"),
        ({**TWO, "a": None}, "['a']", "a NoneType"),
        (None, "", "a NoneType"),
    ],
)
def test_another_structure_is_refused_and_both_are_named(other, place, told):
    def f(p):
        return th.sum(p["a"]) + th.sum(p["b"][0]) * p["b"][1]

    for call in (
        lambda: th.hvp(f, TWO, other),
        lambda: th.jvp(f, TWO, other),
        lambda: th.vjp(lambda x: {"a": x, "b": [np.ones(3), 1.0]}, np.ones(2))[1](other),
    ):
        with pytest.raises(th.ShapeError) as error:
            call()
        assert f"{place} must be of shape" in str(error.value) and told in str(error.value)
        assert "{'a': (2,), 'b': [(3,), ()]}" in str(error.value)


def test_named_tuples_are_one_argument_and_other_names_are_refused():
    def f(p):
        return p.a**2.0 + p.b**3.0

    assert th.hvp(f, Pair(1.0, 2.0), Pair(1.0, 0.0)) == Pair(2.0, 0.0)
    assert [x.item() for x in th.jvp(f, Pair(1.0, 2.0), (1.0, 0.0))] == [9.0, 2.0]
    with pytest.raises(th.ShapeError, match=r"Pair\(a=\(\), b=\(\)\), not Riap\(b=\(\), a=\(\)\)"):
        th.hvp(f, Pair(1.0, 2.0), Riap(1.0, 0.0))
    found = th.hvp(lambda x, y: x**2.0 * y, [1.0, 2.0], [1.0, 0.0])
    assert type(found) is list and [x.item() for x in found] == [4.0, 2.0]
    fixed = th.grad(lambda pair: pair[0] * pair[1])(Fixed([2.0, 3.0]))
    assert type(fixed) is Fixed and [x.item() for x in fixed] == [3.0, 2.0]
    row = th.grad(lambda row: row[0] * row[1])(Row("r", [2.0, 3.0]))
    assert type(row) is Row and row.title == "r" and [x.item() for x in row] == [3.0, 2.0]


def test_a_long_structure_is_told_in_part():
    with pytest.raises(th.ShapeError) as error:
        th.hvp(lambda p: th.sum(p["x0"]), {f"x{n}": 1.0 for n in range(1000)}, {"x": 1.0})
    assert len(str(error.value)) < 700 and "…" in str(error.value)


def within(kind, depth):
    """A one in a list or a dict, in this many more; without a depth, a list or a dict that contains itself."""
    outer = inner = kind([(0, 1.0)]) if kind is dict else kind([1.0])
    for _ in range(depth or 0):
        outer = {0: outer} if kind is dict else [outer]
    if depth is None:
        inner[0] = inner
    return outer


@pytest.mark.parametrize("kind", [list, dict])
@pytest.mark.parametrize("depth", [None, 2000])
def test_what_has_no_end_is_refused_wherever_it_is_given(kind, depth):
    endless = within(kind, depth)
    for derivative in (th.grad, th.value_and_grad, th.jacobian, th.hessian, th.vjp):
        with pytest.raises(th.DtypeError, match="nested too deeply, or contains itself"):
            th.vjp(lambda p: 1.0, endless) if derivative is th.vjp else derivative(lambda p: 1.0)(endless)
        with pytest.raises(th.DtypeError, match="nested too deeply, or contains itself"):
            th.vjp(lambda x: endless, 1.0) if derivative is th.vjp else derivative(lambda x: endless)(1.0)
    for product in (th.jvp, th.hvp, lambda f, x, cotangent: th.vjp(f, x)[1](cotangent)):
        with pytest.raises(th.DtypeError, match="nested too deeply, or contains itself"):
            product(lambda x: x * x, 1.0, endless)


def test_what_is_nested_a_hundred_times_is_differentiated():
    def inner(p):
        for _ in range(100):
            p = p[0]
        return p

    p = within(list, 99)
    assert inner(th.grad(lambda p: inner(p) ** 2.0)(p)).item() == 2.0


@pytest.mark.parametrize("p", [Inert(0, ITEMS), Doubling(ITEMS)], ids=lambda p: type(p).__name__)
def test_a_type_that_cannot_be_made_again_is_refused(p):
    with pytest.raises(th.DtypeError, match=type(p).__name__):
        th.grad(lambda p: th.sum(p["b"]))(p)


def taking_out(p):
    return th.sum(p.pop("a") ** 2.0) + p["b"] ** 3.0


def putting_in(p):
    p["c"] = p["a"] * 1.0
    return th.sum(p["c"] ** 2.0) + p["b"] ** 3.0


def putting_instead(p):
    p["a"] = p["a"] * 1.0
    return th.sum(p["a"] ** 2.0) + p["b"] ** 3.0


def asking_a_default(p):
    return th.sum(p["a"] ** 2.0) + p["b"] ** 3.0 + p["c"]


@pytest.mark.parametrize(
    "f, kind",
    [(taking_out, dict), (putting_in, dict), (putting_instead, OrderedDict), (asking_a_default, defaultdict)],
)
def test_a_function_may_change_what_it_is_given(f, kind):
    """A derivative is structured as the argument was, not as the function has left its copy."""
    items = {"a": np.array([1.0, 2.0]), "b": 3.0}
    p = kind(float, items) if kind is defaultdict else kind(items)
    wanted = {"a": [2.0, 4.0], "b": 27.0}
    (pulled,) = th.vjp(f, p)[1](1.0)
    for found in (th.grad(f)(p), th.value_and_grad(f)(p)[1], th.jacobian(f)(p), pulled):
        assert type(found) is kind and {key: x.numpy().tolist() for key, x in found.items()} == wanted
    product = th.hvp(f, p, {"b": 1.0, "a": np.array([0.0, 1.0])})
    assert {key: x.numpy().tolist() for key, x in product.items()} == {"a": [0.0, 2.0], "b": 18.0}
    assert th.hessian(f)(p)["b"]["b"].item() == 18.0
    assert p.keys() == items.keys()


def test_a_list_may_be_turned_and_a_result_changed_later():
    def turning(p):
        p.reverse()
        return th.sum(p[0]) + th.sum(p[1] ** 2.0)

    assert [x.numpy().tolist() for x in th.grad(turning)([np.array([1.0, 2.0]), np.array([3.0, 4.0])])] == [
        [2.0, 4.0], [1.0, 1.0],
    ]  # fmt: skip
    kept = {}

    def keeping(x):
        kept["y"] = x * 3.0
        return kept

    _, pullback = th.vjp(keeping, 2.0)
    kept["z"] = 1.0
    assert pullback({"y": 1.0})[0].item() == 3.0


@pytest.mark.parametrize("n", [np.int64(1), np.uint8(1), np.int8(-1)])
def test_argnums_may_be_numbers_of_numpy(n):
    def f(x, y):
        return x**2.0 * y

    assert th.grad(f, n)(3.0, 2.0).item() == 9.0
    for several in ((n, 0), [n, 0]):
        assert [x.item() for x in th.grad(f, several)(3.0, 2.0)] == [9.0, 12.0]
    assert th.jacobian(f, n)(3.0, 2.0).item() == 9.0 and th.hessian(f, n)(3.0, 2.0).item() == 0.0
