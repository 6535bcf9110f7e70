"""Functions that are run once on symbols: what they close over may change, and what differs at each run is refused."""

import functools
import itertools
import pickle
import random
import time
import types
from dataclasses import dataclass

import numpy as np
import pytest
from backends import elementwise_backend
from hypothesis import given
from hypothesis import strategies as st

import tinyhyper as th
from tinyhyper.closures import ITEMS, LARGE, Closure, _flat, version

RATE, WORDS, SETTINGS = 2.0, th.tanh, {"deep": {"rate": 2.0}, "list": [2.0]}
MODULE = types.ModuleType("settings_of_a_test")


@pytest.fixture(autouse=True)
def _numpy():
    elementwise_backend("numpy")  # each constant would be a kernel of its own


def local(name, value):
    """Assign to a global of this file."""
    globals()[name] = value


def helper(x, power=2.0, *, factor=2.0):
    return x**power * factor * RATE


class Method:
    share = 2.0

    def __init__(self):
        self.rate, self.hidden = 2.0, 2.0

    @property
    def shown(self):
        return self.hidden

    @functools.cached_property
    def once(self):
        return self.hidden

    @staticmethod
    def static(x):
        return x * RATE

    @classmethod
    def of_class(cls, x):
        return x * cls.share

    def inner(self, x):
        return x * self.rate

    def __call__(self, x):
        return self.inner(x) + self.shown * self.static(x) + self.of_class(x)


@dataclass
class Config:
    rate: float = 2.0
    act: object = th.tanh


class Slots:
    __slots__ = ("rate", "empty")


def cell():
    rate = 2.0

    def change():
        nonlocal rate
        rate = 3.0

    return lambda x: x * rate, change


def cell_of_a_helper():
    def inner(x):
        return th.sin(x)

    def change():
        nonlocal inner
        inner = th.cos

    return lambda x: inner(x), change


def keyword_defaults():
    inner = lambda x, *, rate=2.0: x * rate  # noqa: E731
    return inner, lambda: inner.__kwdefaults__.update(rate=3.0)


def defaults():
    inner = lambda x, rate=2.0: x * rate  # noqa: E731
    return inner, lambda: setattr(inner, "__defaults__", (3.0,))


def of_object(make, change):
    """A case in which a function reads an object."""

    def case():
        made = make()
        return made[0], lambda: change(made[1])

    return case


def config():
    one = Config()
    return lambda x: one.act(x) * one.rate, one


def slots():
    one = Slots()
    one.rate = 2.0
    return lambda x: x * one.rate, one


def method():
    one = Method()
    return one.inner, one


def called():
    one = Method()
    return one, one


def array():
    one = np.array([1.0, 2.0])
    return lambda x: x * one[1], one


def tensor():
    one = th.tensor(2.0)
    return lambda x: x * one.item(), one


def module():
    MODULE.rate = 2.0
    return lambda x: x * MODULE.rate, MODULE


def container():
    one = [{"rate": (2.0, [2.0])}]
    return lambda x: x * one[0]["rate"][1][0], one


def acts():
    one = [th.sin, th.tanh]
    return lambda x: one[0](x) + one[1](x), one


def partial():
    one = functools.partial(helper, factor=2.5)
    return lambda x: one(x), one


def wrapped():
    one = Config()
    inner = th.fuse(lambda x: x * one.rate)
    return lambda x: inner(x) + 1.0, one


def comprehension():
    one = Config()
    return lambda x: sum([x * n * one.rate for n in range(3)]), one


def own_attribute():
    def one(x):
        return x * one.rate

    one.rate = 2.0
    return one, one


def own_attribute_of_a_fused_function():
    @th.fuse
    def one(x):
        return x * one.rate

    one.rate = 2.0
    return lambda x: one(x) + 1.0, one


def times_rate(config, x):
    return x * config.rate


class Times:
    def times(self, config, x):
        return x * config.rate


def by_partial(function):
    def made():
        one = Config()
        return functools.partial(function, one), one

    return made


def by_getattr():
    one = Config()
    return lambda x: x * getattr(one, "rate"), one  # noqa: B009


class Child(Method):
    def inner(self, x):
        return super().inner(x)

    @property
    def shown(self):
        return super().shown


class Grandchild(Child):
    def inner(self, x):
        return super(Grandchild, self).inner(x)  # noqa: UP008

    @property
    def shown(self):
        return super().shown


def by_super(kind):
    def made():
        one = kind()
        return one.inner, one

    return made


def property_by_super():
    one = Grandchild()
    return lambda x: x * one.shown, one


def with_rate(one):
    one.rate = 3.0


CASES = {
    "a global": lambda: (lambda x: x * RATE, lambda: local("RATE", 3.0)),
    "a global that is a function": lambda: (lambda x: WORDS(x), lambda: local("WORDS", th.sin)),
    "a global of a helper": lambda: (lambda x: helper(x), lambda: local("RATE", 3.0)),
    "a helper": lambda: (lambda x: helper(x), lambda: local("helper", th.exp)),
    "inside a dict": lambda: (
        lambda x: x * SETTINGS["deep"]["rate"] * SETTINGS["list"][0],
        lambda: SETTINGS["deep"].update(rate=SETTINGS["deep"]["rate"] + 1.0),
    ),
    "inside a list": lambda: (
        lambda x: x * SETTINGS["list"][0],
        lambda: SETTINGS.update(list=[SETTINGS["list"][0] + 1.0]),
    ),
    "a variable": cell,
    "a function in a variable": cell_of_a_helper,
    "defaults": defaults,
    "defaults by name": keyword_defaults,
    "defaults of a helper": lambda: (lambda x: helper(x), lambda: setattr(helper, "__defaults__", (3.0,))),
    "an attribute": of_object(config, with_rate),
    "a function in an attribute": of_object(config, lambda one: setattr(one, "act", th.sin)),
    "a slot": of_object(slots, with_rate),
    "an attribute of a method": of_object(method, with_rate),
    "an attribute of a method's method": of_object(called, with_rate),
    "an attribute of a property": of_object(called, lambda one: setattr(one, "hidden", 3.0)),
    "an attribute of a class": of_object(called, lambda one: setattr(Method, "share", 3.0)),
    "a global of a static method": of_object(called, lambda one: local("RATE", 3.0)),
    "an array": of_object(array, lambda one: one.fill(3.0)),
    "a tensor": of_object(tensor, lambda one: setattr(one, "data", 3.0)),
    "a module": of_object(module, with_rate),
    "a container": of_object(container, lambda one: one[0]["rate"][1].append(one[0]["rate"][1].pop() + 1.0)),
    "a function in a container": of_object(acts, lambda one: one.insert(0, th.cos)),
    "what a partial keeps": of_object(partial, lambda one: one.keywords.update(factor=3.0)),
    "what a partial keeps beside": of_object(partial, lambda one: one.keywords.update(power=3.0)),
    "what a partial keeps no more": of_object(partial, lambda one: one.keywords.clear()),
    "a partial's function": of_object(partial, lambda one: local("RATE", 3.0)),
    "inside another fused function": of_object(wrapped, with_rate),
    "an attribute of the function": of_object(own_attribute, with_rate),
    "an attribute of a fused function": of_object(own_attribute_of_a_fused_function, with_rate),
    "an attribute of what a partial keeps": of_object(by_partial(times_rate), with_rate),
    "an attribute of what a method's partial keeps": of_object(by_partial(Times().times), with_rate),
    "getattr": of_object(by_getattr, with_rate),
    "super": of_object(by_super(Child), with_rate),
    "super of super": of_object(by_super(Grandchild), with_rate),
    "super of a property": of_object(property_by_super, lambda one: setattr(one, "hidden", 3.0)),
    "a comprehension": of_object(comprehension, with_rate),
}


@pytest.fixture
def restored():
    before = {name: globals()[name] for name in ("RATE", "WORDS", "helper")}
    yield
    globals().update(before)
    helper.__defaults__, Method.share = (2.0,), 2.0


X = np.array([0.5, 1.5])


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("name", CASES)
def test_a_fused_function_sees_what_has_changed(name):
    function, change = CASES[name]()
    fused, plain = th.fuse(function), function(th.tensor(X)).data
    closure = Closure(function)
    assert closure.changed() and not closure.changed()
    for _ in range(2):
        np.testing.assert_allclose(fused(th.tensor(X)).data, plain, rtol=1e-14)
    change()
    changed = function(th.tensor(X)).data
    assert not np.allclose(changed, plain), "the case changes something"
    assert closure.changed() and not closure.changed()
    for _ in range(2):
        np.testing.assert_allclose(fused(th.tensor(X)).data, changed, rtol=1e-14)


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("name", [name for name in CASES if name not in ("defaults", "defaults by name")])
def test_a_layer_sees_what_has_changed_in_its_activation(name):
    function, change = CASES[name]()
    x, weight = th.tensor(X[:, None]), th.tensor([[1.0]], requires_grad=True)
    layers = [
        lambda: th.linear(x, weight, None, function),
        lambda: th.linear(x[None], weight, 1.0, function),  # not by the shorter way of matrices
        lambda: th.batch_norm(x, weight[0], weight[0], activation=function),
    ]
    for first in (True, False):
        found = [layer() for layer in layers]
        wanted = [function(x @ weight), function(x[None] @ weight + 1.0)]
        for one, other in zip(found, wanted):
            np.testing.assert_allclose(one.data, other.data, rtol=1e-14)
        np.testing.assert_allclose(found[2].data, function(th.batch_norm(x, weight[0], weight[0])).data, rtol=1e-12)
        if first:
            change()


def test_a_cached_property_is_looked_into_before_it_is_cached():
    one = Method()
    closure = Closure(lambda x: x * one.once)
    closure.changed()
    one.hidden = 3.0
    assert closure.changed() and "once" not in vars(one), "asking computes nothing"


def test_gradients_are_those_of_the_expression_that_was_computed():
    one = Config()
    fused, x = th.fuse(lambda x: x * one.rate), th.tensor(X, requires_grad=True)
    before = fused(x)
    one.rate = 5.0
    (before + 10.0 * fused(x)).sum().backward()
    assert x.grad.data.tolist() == [52.0, 52.0]


@given(values=st.lists(st.floats() | st.integers(-3, 3) | st.booleans(), min_size=1, max_size=6))
def test_any_numbers(values):
    """One that is assigned again and is equal, NaN among them, is no change."""
    elementwise_backend("numpy")
    one = Config()
    one.rate, closure = values[0], Closure(lambda x: th.where(x > 0, x, one.rate))
    closure.changed()
    for before, value in itertools.pairwise(values):
        one.rate = type(value)(repr(value)) if type(value) is float else value
        assert closure.changed() == (type(before) is not type(value) or repr(before) != repr(value))


NUMBERS = st.floats() | st.integers(-3, 3) | st.booleans() | st.text(max_size=2)
NESTS = st.recursive(NUMBERS, lambda inner: st.tuples(inner, inner) | st.lists(inner, max_size=2), max_leaves=5)


@given(before=NESTS, after=NESTS)
def test_any_nest_of_tuples_and_lists(before, after):
    """One that is made again and is equal is no change; what another one, or a list inside one, holds is."""
    one = Config()
    one.rate, closure = before, Closure(lambda x: x * one.rate)
    assert closure.changed() and not closure.changed()
    one.rate = pickle.loads(pickle.dumps(before))
    assert not closure.changed()
    one.rate = after
    assert closure.changed() == (repr(before) != repr(after)) and not closure.changed()
    for item in after if isinstance(after, tuple) else ():
        if isinstance(item, list):
            item.append(1.0)
            assert closure.changed() and not closure.changed()


def test_an_attribute_that_goes():
    one = Config()
    one.late, closure = 2.0, Closure(lambda x: x * one.late)
    closure.changed()
    del one.late
    assert closure.changed() and not closure.changed()


def test_what_several_functions_read_is_watched_once():
    one = Method()
    one.rate, closure = 7.0, Closure(lambda x: one.inner(x) + one.rate)
    closure.changed()
    assert [value for _, _, value in closure.watched].count(7.0) == 1


def test_what_is_not_a_change():
    """So nothing is run again: other attributes, globals that no code names, equal numbers, what the library holds."""
    one = Config()
    inner = th.fuse(lambda x: th.softplus(x) * one.rate)
    closure = Closure(inner)
    closure.changed()
    one.other, one.rate = 7.0, float("2.0")
    local("RATE", 2.0)
    assert not closure.changed()
    for known in (th.softplus, th.optim.Adam.rule):
        closure = Closure(known)
        assert closure.changed() and not closure.watched, "functions of the library cost nothing"


def test_a_name_that_comes_later():
    fused = th.fuse(lambda x: x * LATER)  # noqa: F821
    with pytest.raises(NameError):
        fused(th.tensor(X))
    try:
        for rate in (2.0, 3.0):
            local("LATER", rate)
            assert fused(th.tensor(X)).data.tolist() == (rate * X).tolist()
    finally:
        del globals()["LATER"]


def test_a_variable_that_comes_later_and_goes():
    def made():
        fused = th.fuse(lambda x: x * rate)  # noqa: F821
        with pytest.raises(NameError):
            fused(th.tensor(X))
        for rate in (2.0, 3.0):
            assert fused(th.tensor(X)).data.tolist() == (rate * X).tolist()
        del rate
        with pytest.raises(NameError):
            fused(th.tensor(X))

    made()


def test_large_things_are_told_apart_by_identity():
    for one in (np.zeros(LARGE + 1), [0.0] * (ITEMS + 1), dict.fromkeys(range(ITEMS + 1), 0.0)):
        closure = Closure(lambda x, one=one: x * one[0])
        closure.changed()
        one[0] = 1.0
        assert not closure.changed()


def test_a_large_tuple_is_told_apart_by_identity():
    one = Config()
    one.rate, closure = (0.0,) * (ITEMS + 1), Closure(lambda x: x * one.rate[0])
    closure.changed()
    assert not closure.changed()
    one.rate = (*one.rate,)
    assert closure.changed() and not closure.changed()


def test_of_a_nest_of_containers_so_many_items_are_watched_the_outer_ones_first():
    """Their number is what a call costs."""
    one = {"layers": [{"w": [0.0] * 20} for _ in range(ITEMS - 11)], "rate": 2.0, "array": np.zeros(2), 7: [[7.0], []]}
    closure = Closure(lambda x: x * one["rate"])
    closure.changed()
    assert len(closure.watched) == 1 and len(closure.watched[0][2].values) < 2 * ITEMS
    assert len(_flat([{} for _ in range(ITEMS)])) < 2 * ITEMS, "empty ones count as well"
    one["layers"][-1]["w"][0] = one["layers"][0]["w"][0] = 1.0
    assert not closure.changed()
    for change in (
        lambda: one.update(rate=3.0),
        lambda: one["array"].fill(1.0),
        lambda: one["layers"].reverse(),
        lambda: one.update(late=1.0),
        lambda: one.update(rate=[3.0]),
        lambda: one[7].reverse(),
        lambda: one.pop("layers"),
    ):
        change()
        assert closure.changed() and not closure.changed()


def test_where_an_item_is_in_a_nest_is_seen():
    one = [[7.0], []]
    closure = Closure(lambda x: x * len(one[0]))
    closure.changed()
    one[1].append(one[0].pop())
    assert closure.changed()


def test_objects_that_refer_to_each_other():
    one, other = Config(), Config()
    one.act, other.act = other, one
    closure = Closure(lambda x: x * one.act.act.act.rate)
    closure.changed()
    other.rate = 5.0
    assert closure.changed()


def test_versions_of_what_is_no_plain_function():
    assert version(None) == version(None) and version(len) == version(len)


# ---- What differs at each run.

COUNT = itertools.count()
UNSTEADY = {
    "numpy": lambda x: x * np.random.rand(),
    "random": lambda x: x + random.random(),
    "clock": lambda x: x * time.perf_counter(),
    "count": lambda x: x * next(COUNT),
    "choice": lambda x: th.sin(x) if next(COUNT) % 2 else th.cos(x),
    "outputs": lambda x: [x] * (1 + next(COUNT) % 2),
    "type": lambda x: x * (1 if next(COUNT) % 2 else 1.0),
    "constant": lambda x: float(next(COUNT)),
}


@pytest.mark.parametrize("name", UNSTEADY)
def test_a_function_that_differs_at_each_run_is_refused(name):
    with pytest.raises(th.UnsupportedError, match=r"<lambda>: two runs on symbols give two expressions.*argument"):
        th.fuse(UNSTEADY[name])(th.tensor(X))
    with pytest.raises(th.UnsupportedError, match=r"<lambda>: two runs"):
        th.linear(th.tensor([X]), th.tensor(X[:, None]), None, UNSTEADY[name])
    with pytest.raises(th.UnsupportedError, match=r"<lambda>: two runs"):
        th.batch_norm(th.tensor([X, 2.0 * X]), th.tensor(X), th.tensor(X), activation=UNSTEADY[name])


class Noise:
    def __init__(self):
        self.rng, self.seen = np.random.default_rng(0), None

    def act(self, x):
        return x * float(self.rng.random() < 0.5)

    def once(self, x):
        self.seen = self.seen or self.rng.integers(2, 9)
        return x * float(self.seen)


def drawing(rng, draw):
    return lambda x: x * float(draw(rng) < 2.0), rng


def bound(rng):
    draw = rng.random  # a method of the generator, for `random` as well
    return lambda x: x * float(draw() < 2.0), rng


def attribute():
    one = Noise()
    return one.act, one.rng


def contained():
    one = [{"rng": np.random.default_rng(0)}]
    return lambda x: x * float(one[0]["rng"].random() < 2.0), one[0]["rng"]


DRAWING = {  # whether the two runs differ or not
    "global numpy": lambda: drawing(random, lambda _: np.random.randint(0, 2)),
    "global numpy, every second normal": lambda: drawing(random, lambda _: 0.0 * np.random.normal()),
    "global random": lambda: drawing(random, lambda _: random.random()),
    "one function of random": lambda: bound(random),
    "generator": lambda: drawing(np.random.default_rng(0), lambda rng: rng.random()),
    "twister": lambda: drawing(np.random.Generator(np.random.MT19937(0)), lambda rng: rng.random()),
    "bits": lambda: drawing(np.random.PCG64(0), lambda rng: 0 * rng.random_raw()),
    "spawned": lambda: drawing(np.random.default_rng(0), lambda rng: rng.spawn(1)[0].random()),
    "random state": lambda: drawing(np.random.RandomState(0), lambda rng: rng.rand()),
    "random of python": lambda: drawing(random.Random(0), lambda rng: rng.random()),
    "bound": lambda: bound(np.random.default_rng(0)),
    "bound of python": lambda: bound(random.Random(0)),
    "attribute": attribute,
    "contained": contained,
}


def states(rng):
    own = random.random.__self__ if rng is random else getattr(rng, "bit_generator", rng)
    return [repr(one) for one in (random.getstate(), np.random.get_state(legacy=False), own.__getstate__())]


@pytest.mark.parametrize("name", DRAWING)
def test_a_function_that_draws_is_refused_whatever_is_made_of_the_number(name):
    function, rng = DRAWING[name]()
    x, before = th.tensor([X, 2.0 * X]), states(rng)
    for layer in (
        lambda: th.fuse(function)(x),
        lambda: th.linear(x, th.tensor(X[:, None]), None, function),
        lambda: th.batch_norm(x, x[0], x[0], activation=function),
    ):
        with pytest.raises(th.UnsupportedError, match=r": two runs on symbols .*must not draw random numbers"):
            layer()
        assert states(rng) == before


def test_nothing_has_been_drawn_after_an_error():
    rng = np.random.default_rng(0)
    before = states(rng)
    with pytest.raises(th.UnsupportedError, match="not elementwise"):
        th.fuse(lambda x: th.sum(x * rng.random() * np.random.rand()))(th.tensor(X))
    assert states(rng) == before


def test_what_another_thread_draws_is_not_held_against_a_function():
    rng, runs = np.random.default_rng(0), itertools.count()

    def in_company(x):
        if next(runs) < 2:  # as if a thread had its turn then
            rng.random()
        return x * 2.0

    assert th.fuse(in_company)(th.tensor(X)).data.tolist() == (2.0 * X).tolist()
    assert next(runs) == 3 and states(rng) != states(np.random.default_rng(0))


def test_what_is_drawn_once_is_a_constant():
    one, other = Noise(), Noise()
    fused, system = th.fuse(one.once), random.SystemRandom()
    assert fused(th.tensor(X)).data.tolist() == other.once(th.tensor(X)).data.tolist()
    assert states(one.rng) == states(other.rng)
    assert th.fuse(lambda x: x * float(system.random() < 2.0))(th.tensor(X)).data.tolist() == X.tolist()


def test_what_is_not_a_number_is_equal_at_each_run():
    found = th.fuse(lambda x: th.where(x > 1, float("nan"), x))(th.tensor(X)).data
    assert found[0] == 0.5 and np.isnan(found[1])


def stepped(optimizer):
    params = {"w": th.tensor([1.0], requires_grad=True)}
    th.sum(params["w"]).backward()
    optimizer.step(params)
    return params["w"].item()


def test_a_rule_that_draws_random_numbers_is_refused():
    class Noisy(th.optim.Optimizer):
        table = {"alpha": 0.1}

        def rule(w, g, *, alpha):
            return w - alpha * g * np.random.rand()

    with pytest.raises(th.UnsupportedError, match=r"Noisy\.rule: two runs on symbols give two expressions"):
        stepped(Noisy())
    rng = np.random.default_rng(0)
    before = states(rng)
    Noisy.rule = lambda w, g, *, alpha: w - alpha * g * float(rng.random() < 2.0)
    coordinate = th.core.coordinates.Coordinate("drawn", lambda u: u + (rng.random() > 2.0), lambda v: v, 0.0, 9.0)
    for optimizer in (Noisy(), th.optim.SGD(coordinates={"alpha": coordinate})):
        with pytest.raises(th.UnsupportedError, match=r"\.rule: two runs on symbols draw different random numbers"):
            stepped(optimizer)
        assert states(rng) == before


def test_a_rule_and_a_coordinate_close_over_what_is_there_when_the_optimizer_begins():
    factor, scale = 1.0, 1.0

    class Scaled(th.optim.Optimizer):
        table = {"alpha": 0.1}

        def rule(w, g, *, alpha):
            return w - alpha * g * factor

    coordinate = th.core.coordinates.Coordinate("scaled", lambda u: u * scale, lambda v: v, 0.0, 9.0)
    values = []
    for factor, scale in [(1.0, 1.0), (2.0, 1.0), (2.0, 3.0), (1.0, 1.0)]:  # noqa: B007
        values.append(stepped(Scaled(coordinates={"alpha": coordinate})))
    np.testing.assert_allclose(values, [0.9, 0.8, 0.4, 0.9], rtol=1e-14)
