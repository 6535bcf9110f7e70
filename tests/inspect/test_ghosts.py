"""Ghosts: what would have flowed through a cut, along which paths a gradient came, and the recording run again."""

import itertools
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recordings import run, stacks, trained

import tinyhyper as th
from tinyhyper.core.tensor import Tensor, leaf
from tinyhyper.inspect.ghosts import Rerun, arrived, ghosts_of
from tinyhyper.inspect.paths import Paths
from tinyhyper.ops.operation import operation


@contextmanager
def uncut(number, instead):
    """`detach`, but for one call: there it gives what `instead` makes of the tensor. What that call met is given."""
    calls, met = itertools.count(), SimpleNamespace()

    def detach(tensor, reason=None):
        if next(calls) != number:
            return Tensor(tensor.array)
        met.source, met.before, met.result = tensor, tensor.grad, instead(tensor)
        return met.result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tensor, "detach", detach)
        yield met


def of_its_own(tensor):
    return leaf(Tensor(tensor.array))


@pytest.mark.slow
@given(stacks, st.integers(0, 5), st.data())
def test_a_ghost_is_the_gradient_that_flows_where_that_one_cut_is_not_made(stack, seed, data):
    tape, _, _ = run(stack, seed=seed)
    cut = data.draw(st.sampled_from(tape.cuts))
    with uncut(cut.number, of_its_own) as met:
        run(stack, seed=seed, ghosts=False)
    if cut.ghost is None:
        assert met.result.grad is None or not np.any(met.result.grad.numpy())
        return
    np.testing.assert_allclose(tape.ghost(cut), met.result.grad.numpy(), rtol=1e-9, atol=1e-14)
    assert cut.ghost == pytest.approx(float(np.linalg.norm(tape.ghost(cut))) * (-1 if cut.ghost < 0 else 1))


@pytest.mark.slow
@given(stacks, st.integers(0, 5), st.data())
def test_where_a_graph_was_behind_the_cut_the_ghost_arrives_at_what_was_cut(stack, seed, data):
    tape, _, _ = run(stack, steps=2, seed=seed)
    first = [cut for cut in tape.cuts if cut.severed and cut.step == 1]
    cut = data.draw(st.sampled_from(first))
    with uncut(cut.number, lambda tensor: tensor) as met:
        run(stack, steps=2, seed=seed, ghosts=False)
    arrived = met.source.grad.numpy() - (0.0 if met.before is None else met.before.numpy())
    np.testing.assert_allclose(tape.ghost(cut), arrived, rtol=1e-9, atol=1e-12)


class Own(th.optim.Optimizer):
    table = {"alpha": 0.05, "share": 0.5}

    @staticmethod
    def rule(w, g, *, alpha, share):
        return w - alpha * (share * g / th.sqrt(g * g + 1e-3) + (1.0 - share) * 2.0 * g)


def by_hand(w, g, alpha):
    """A step whose operations are recorded one by one, those of cut values alone among them."""
    w, g = w.detach("step"), g.detach("step")
    return w * 0.99 - alpha * (g / th.sqrt(th.sum(g * g) + 1e-3) + th.mean(w) * 0.1)


@pytest.mark.slow
@given(st.integers(0, 5), st.sampled_from(["", "alpha", "share", "by hand"]), st.data())
def test_the_cuts_of_a_rule_of_ones_own_have_their_ghosts(seed, tuned, data):
    def run_own(ghosts):
        generator = np.random.default_rng(seed)
        params = {"w": th.tensor(generator.normal(size=3), requires_grad=True)}
        alpha = th.tensor(0.05, requires_grad=True)
        optimizer = Own(optimizer=th.optim.SGD(1e-3), tune=(tuned,)) if tuned in ("alpha", "share") else Own()
        with th.record(ghosts=ghosts) as tape:
            for _ in range(2):
                loss = th.sum(th.tanh(params["w"]) ** 2)
                loss.backward(retain_graph=True, create_graph=True)
                if tuned == "by hand":
                    params["w"] = by_hand(params["w"], params["w"].grad, alpha).retain_grad()
                else:
                    optimizer.step(params)
            th.sum(th.tanh(params["w"]) ** 2).backward()
        return tape

    tape = run_own(True)
    cut = data.draw(st.sampled_from(tape.cuts))
    with uncut(cut.number, of_its_own) as met:
        run_own(False)
    wanted = np.zeros(cut.shape) if met.result.grad is None else met.result.grad.numpy()
    np.testing.assert_allclose(tape.ghost(cut), wanted, rtol=1e-9, atol=1e-14)
    assert np.any(wanted) or cut.shape == ()


@pytest.mark.either_backend
@given(stacks, st.integers(0, 5))
def test_every_detach_is_a_cut_on_the_tape(stack, seed):
    calls = []
    original = Tensor.detach
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tensor, "detach", lambda self, reason=None: calls.append(reason) or original(self, reason))
        tape, _, _ = run(stack, seed=seed, ghosts=False)
    labels = [tape.output(cut.place).label for cut in tape.cuts]
    assert [cut.reason for cut in tape.cuts] == [
        "hyperparameter" if label.role == "hyperparameter" else reason for label, reason in zip(labels, calls)
    ]
    assert {reason for label, reason in zip(labels, calls) if label.role == "hyperparameter"} <= {"weights"}
    assert all(len(cut.targets) == 1 for cut in tape.cuts)
    assert {edge.cut for edge in tape.edges if edge.flow == "cut"} == set(range(len(tape.cuts)))


@pytest.mark.either_backend
@given(stacks, st.integers(0, 5), st.booleans())
def test_recording_changes_nothing(stack, seed, ghosts):
    generator = np.random.default_rng(seed)
    start = generator.normal(size=2), generator.normal()

    def plain():
        params = {name: th.tensor(value, requires_grad=True) for name, value in zip("wb", start)}
        optimizer = th.optim.from_string(stack)
        for _ in range(3):
            loss = th.sum(th.tanh(params["w"] * params["b"]) ** 2) + th.mean(params["w"] ** 2) * 0.3
            loss.backward(retain_graph=True)
            optimizer.step(params)
        return params, optimizer

    _, params, optimizer = run(stack, seed=seed, ghosts=ghosts)
    other, same = plain()
    for name, w in params.items():
        assert np.array_equal(w.numpy(), other[name].numpy())
    for level, twin in zip(optimizer.levels, same.levels):
        assert level.hyperparameters == twin.hyperparameters


@pytest.mark.either_backend
@given(stacks, st.integers(0, 5), st.booleans(), st.sampled_from([1, 3, 200]))
def test_the_parts_of_a_gradient_add_up_to_it(stack, seed, create_graph, limit):
    tape, _, _ = run(stack, seed=seed, create_graph=create_graph)
    paths = Paths(tape, limit)
    for node in tape.nodes:
        if node.kind != "gradient" or tape.output(node.of).label is None:
            continue
        parts = paths.parts(node.of, node.loss)
        total = sum(part.value for part in parts)
        gradient = ghosts_of(tape).places[node.of]
        np.testing.assert_allclose(total, gradient, rtol=1e-9, atol=1e-13)
        if not gradient.ndim:
            assert node.outputs[0].value == pytest.approx(float(gradient), rel=1e-9, abs=1e-13)
        for part in parts:
            assert part.through[0] == node.loss and part.through[-1] == node.of


@given(st.integers(0, 20), st.integers(2, 6))
def test_the_parts_add_up_on_random_graphs(seed, size):
    """Each labelled value is a random function of some earlier ones; the number of paths grows without bound."""
    generator = np.random.default_rng(seed)
    with th.record(ghosts=True) as tape:
        values = [th.tensor(generator.normal(size=2), requires_grad=True)]
        tape.label(values[0], "x0", "weights", 0)
        for n in range(1, size):
            terms = [v * generator.normal() for v in values if generator.random() < 0.7] or [values[-1] * 1.0]
            value = th.tanh(sum(terms[1:], terms[0])) + (values[-1].detach("here") if generator.random() < 0.3 else 0.0)
            tape.label(value, f"x{n}", "weights", 0)
            values.append(value)
        th.sum(values[-1]).backward()
    (gradient,) = (node for node in tape.nodes if node.kind == "gradient")
    for limit in (1, 4, 1000):
        parts = Paths(tape, limit).parts(gradient.of, gradient.loss)
        np.testing.assert_allclose(sum(p.value for p in parts), values[0].grad.numpy(), rtol=1e-9, atol=1e-13)
        assert limit < 1000 or all(part.paths == 1 for part in parts)
    assert sum(part.paths for part in Paths(tape, 4).parts(gradient.of, gradient.loss)) == len(parts)


RATES = "sgd(0.05, mu=0.5)", "adam(0.02)", "rmsprop(0.05)"


@pytest.mark.slow
@given(st.sampled_from(RATES), st.integers(1, 4), st.sampled_from(["last", "sum"]), st.booleans(), st.integers(0, 3))
def test_the_parts_add_up_at_any_horizon_and_for_any_objective(rule, horizon, objective, plain, seed):
    generator = np.random.default_rng(seed)
    params = {"w": th.tensor(generator.normal(size=2), requires_grad=True)}
    optimizer = th.optim.from_string(f"{rule[:-1]}, horizon={horizon}, objective={objective})/sgd(1e-3)")
    with th.record(ghosts=True) as tape:
        for n in range(2 * horizon + 1):
            loss = th.sum(th.tanh(params["w"]) ** 2 * [1.0, 0.3])
            loss.backward(create_graph=not (plain and n % horizon == 0))
            optimizer.step(params)
    paths = Paths(tape, 50)
    for node in tape.nodes:
        label = tape.output(node.of).label if node.of else None
        if label is not None and label.role == "hyperparameter":
            parts = [part for loss in paths.losses((node.number, 0)) for part in paths.parts(node.of, loss)]
            assert float(sum(part.value for part in parts)) == pytest.approx(
                node.outputs[0].value, rel=1e-9, abs=1e-13
            )
            assert float(ghosts_of(tape).places[node.of]) == pytest.approx(node.outputs[0].value, rel=1e-9, abs=1e-13)
    weights = [n for n in tape.nodes if n.kind == "gradient" and tape.output(n.of).label.role == "weights"]
    if objective == "last":  # a recorded pass ends at the weights, and contributes nothing to them from later losses
        for node in weights[:-1]:
            if node.step % horizon or horizon == 1:
                continue
            np.testing.assert_allclose(np.linalg.norm(ghosts_of(tape).places[node.of]), node.outputs[0].norm, rtol=1e-9)


def test_what_recorded_no_gradient_gets_none_when_run_again():
    x, w = th.tensor([1.0, 2.0], requires_grad=True), th.tensor([3.0, 4.0], requires_grad=True)
    with th.record(ghosts=True) as tape:
        tape.label(x, "x", "weights", 0)
        with th.no_grad():
            y = x * 2.0
        th.sum(y * w).backward()
        made = leaf(y)
        th.sum(made * made).backward()
    gradients = {tape.nodes[number].kind: value.tolist() for (number, n), value in ghosts_of(tape).places.items()}
    assert gradients["leaf"] == [2.0, 4.0]
    assert tape.nodes[0].outputs[0].gradient is None
    (own,) = (node.of for node in tape.nodes if node.kind == "gradient" and tape.node(node.of).op == "multiply")
    assert ghosts_of(tape).places[own].tolist() == [4.0, 8.0]


def test_without_ghosts_they_are_not_known_and_asking_says_how():
    tape, _, _ = run("sgd/sgd", ghosts=False)
    assert all(cut.ghost is None for cut in tape.cuts)
    with pytest.raises(th.TinyhyperError, match="ghosts=True"):
        tape.ghost(tape.cuts[0])
    with pytest.raises(th.TinyhyperError, match="ghosts=True"):
        Paths(tape)


def test_a_recording_with_ghosts_is_read_during_the_block_without_them():
    x = th.tensor([1.0, 2.0], requires_grad=True)
    with th.record(ghosts=True) as tape:
        th.sum(x.detach("here") * x).backward()
        assert tape.cuts[0].ghost is None
        with pytest.raises(th.TinyhyperError, match="when the block has ended"):
            tape.ghost(tape.cuts[0])
    assert tape.cuts[0].ghost == pytest.approx(np.sqrt(5.0))
    assert np.array_equal(tape.ghost(0), tape.ghost(tape.cuts[0]))
    with pytest.raises(th.TinyhyperError, match="has cuts 0 to 0"):
        tape.ghost(1)
    assert np.array_equal(tape.ghost(tape.cuts[0]), [1.0, 2.0])


def test_a_second_run_that_gives_other_numbers_is_refused_and_the_tape_can_still_be_read():
    x = th.tensor([1.0, 2.0], requires_grad=True)
    with th.record(ghosts=True) as tape:
        th.sum(x.detach("here") * x).backward()
    x.array[0] = 7.0  # behind the engine's back
    assert len(tape.cuts) == 1 and tape.cuts[0].ghost is None
    with pytest.raises(th.TinyhyperError, match="changed in between"):
        tape.ghost(tape.cuts[0])


def test_new_data_in_a_leaf_is_a_new_value():
    x = th.tensor([1.0, 2.0], requires_grad=True)
    with th.record(ghosts=True) as tape:
        th.sum(x.detach("old") * x).backward()
        x.data = [3.0, 4.0]
        th.sum(x.detach("new") * x).backward()
    assert [tape.ghost(cut).tolist() for cut in tape.cuts] == [[1.0, 2.0], [3.0, 4.0]]


def test_ghosts_of_several_losses_add_up():
    x = th.tensor([1.0, 2.0], requires_grad=True)
    with th.record(ghosts=True) as tape:
        cut = x.detach("shared")
        th.sum(cut * x).backward()
        (th.sum(cut * x) * 2.0).backward()
    assert tape.ghost(tape.cuts[0]).tolist() == [3.0, 6.0]


@operation(x=lambda g, x: g * 3.0 * x * x)
def own_cube(x, /):
    return x**3.0


STEPS = {
    "hyperbolic": lambda x, y: th.tanh(x),
    "scaled": lambda x, y: x * 2.0,
    "shifted": lambda x, y: 0.5 - x,
    "plus": lambda x, y: x + y,
    "times": lambda x, y: x * y,
    "over": lambda x, y: x / (y * y + 1.0),
    "summed": lambda x, y: th.sum(x) * y,
    "mean of rows": lambda x, y: th.mean(th.stack([x, y]), axis=0),
    "chosen": lambda x, y: th.where(x > y, x, y * 0.5),
    "masked": lambda x, y: x * (y > 0.0),
    "larger": lambda x, y: np.maximum(x, y),
    "an element": lambda x, y: x[1] * y,
    "turned": lambda x, y: x[::-1],
    "put together": lambda x, y: th.concatenate([x[:1], y[1:]]),
    "product": lambda x, y: x @ th.reshape(y, (3, 1)) + y,
    "fused": th.fuse(lambda x, y: th.sin(x) * y + 0.1),
    "softmax": lambda x, y: th.softmax(x),
    "in float32": lambda x, y: x.astype("float32") * 0.5 + y,
    "own": lambda x, y: own_cube(x),
    "unrecorded": th.no_grad()(lambda x, y: x * y),
}
CUTS = {
    "detach": lambda x: x.detach(),
    "copy": lambda x: th.tensor(x),
    "leaf": lambda x: th.tensor(x, requires_grad=True),
    "narrow": lambda x: th.tensor(x, dtype="float32"),
}
UNCUT = {made: (lambda x: x.astype("float32")) if name == "narrow" else lambda x: x for name, made in CUTS.items()}


def removed(number, n, made, x):
    """What a program reads where the cut of a number is not made."""
    return UNCUT[made](x) if n == number else made(x)


def drawn(draw):
    """A random program: names of steps or cuts, each with the numbers of the two values that it reads."""
    names = st.one_of(st.sampled_from(list(STEPS)), st.sampled_from(list(CUTS)))
    return [(draw(names), draw(st.integers(0, n)), draw(st.integers(0, n))) for n in range(1, draw(st.integers(2, 9)))]


def followed(program, seed, cut, tape=None):
    """The leaves, after the backward pass of a loss that all values of the program contribute to.

    cut: from the number of a cut, what makes it and the value, to the cut value.
    """
    rng = np.random.default_rng(seed)
    inputs = values = [th.tensor(rng.normal(size=3), requires_grad=True) for _ in range(2)]
    for n, x in enumerate(inputs if tape else ()):
        tape.label(x, f"x{n}", "weights", 0)
    numbers = itertools.count()
    for name, a, b in program:
        x, y = values[a], values[b]
        values = [*values, cut(next(numbers), CUTS[name], x) if name in CUTS else STEPS[name](x, y)]
    weights = rng.normal(size=len(values))
    sum(th.sum(v * v) * w for v, w in zip(values, weights)).backward()
    return inputs


def left(leaves):
    return [np.zeros(3) if x.grad is None else x.grad.data for x in leaves]


@given(st.data(), st.integers(0, 99))
def test_without_a_cut_gradients_are_those_of_the_program_that_does_not_make_it(data, seed):
    program = drawn(data.draw)
    with th.record(ghosts=True) as tape:
        inputs = followed(program, seed, lambda n, made, x: made(x), tape)

    def gradients(opened):
        places = arrived(Rerun(tape, opened=opened)).places
        return [places.get((number, 0), np.zeros(3)) for number in range(2)]

    np.testing.assert_allclose(gradients(()), left(inputs), rtol=1e-6, atol=1e-9)
    for cut in tape.cuts:
        wanted = left(followed(program, seed, partial(removed, cut.number)))
        np.testing.assert_allclose(gradients({cut.number}), wanted, rtol=1e-5, atol=1e-6)
        told = {name: value for name, *_, value, _ in th.inspect.without(tape, cut).rows}
        for n, (before, after) in enumerate(zip(left(inputs), wanted)):
            if not np.allclose(before, after, rtol=1e-4, atol=1e-6):
                assert told[f"x{n}[0]"] == pytest.approx(np.linalg.norm(after), 1e-4)


@given(st.data(), st.integers(0, 99))
def test_a_ghost_is_the_gradient_with_respect_to_what_is_read_in_the_place_of_the_cut_value(data, seed):
    program, leaves = drawn(data.draw), {}
    with th.record(ghosts=True) as tape:
        followed(program, seed, lambda n, made, x: made(x), tape)

    def read(number, made, x):
        leaves[number] = leaf(Tensor(made(x).data.copy())) if number == cut.number else made(x)
        return leaves[number]

    for cut in tape.cuts:
        followed(program, seed, read)
        wanted = leaves[cut.number].grad
        np.testing.assert_allclose(
            tape.ghost(cut), np.zeros(3) if wanted is None else wanted.data, rtol=1e-5, atol=1e-6
        )
        assert (cut.ghost or 0.0) == pytest.approx(0.0 if wanted is None else np.linalg.norm(wanted.data), 1e-4, 1e-5)
    numbers = {edge.source for edge in tape.edges if edge.flow == "kept"}
    for node in tape.nodes:  # what is computed from a cut value alone got no gradient in the run
        if node.kind == "operation" and node.serial is None and node.number not in numbers:
            assert node.outputs[0].gradient is None


def test_a_value_that_is_cut_again_stands_between_both_cuts():
    w = th.tensor([1.0, 2.0], requires_grad=True)
    with th.record(ghosts=True) as tape:
        once = w.detach("once")
        twice = once.detach("twice")
        th.sum(w * (twice * 2.0) * once).backward()
    assert [cut.severed for cut in tape.cuts] == [True, False]
    assert tape.cuts[0].source == 0 and tape.cuts[1].source in tape.cuts[0].targets
    assert len(tape.cuts[0].targets) == 2  # it is read where the first cut leads, too
    (row,) = th.inspect.without(tape, 0).rows
    assert row[0] == "w" and row[1:4] == pytest.approx((2 * 17**0.5, 2 * 17**0.5, 4 * 17**0.5))
    assert th.inspect.without(tape, 1).rows == []
    assert tape.ghost(0).tolist() == tape.ghost(1).tolist() == [2.0, 8.0]
    assert th.inspect.Recording.from_json(tape.to_json()).cuts == tape.cuts


def test_a_copy_in_another_dtype_is_computed_again_in_it():
    w = th.tensor([1.2, 2.7], requires_grad=True)
    with th.record(ghosts=True) as tape:
        count, narrow = th.tensor(w, dtype=int), th.tensor(w, dtype="float32")
        th.sum(w * count * narrow).backward()
    np.testing.assert_allclose(tape.ghost(1), [1.2, 5.4], rtol=1e-6)
    assert not tape.ghost(0).any() and tape.ghost(1).dtype == np.float32
    assert th.inspect.without(tape, 0).rows == []


@pytest.mark.parametrize("stack", ["adam/sgd", "sgd(mu=0.5)/sgd", "sgd/sgd/sgd"])
def test_ghosts_begin_where_a_graph_was_cut_off_and_the_text_names_the_largest_of_these(stack):
    answer = th.inspect.ghosts(trained(stack, 3, {"u": 0.8, "v": [1.5, -0.7]}, ghosts=True))
    severed, sizes = [row[-1] for row in answer.rows], [abs(row[4]) for row in answer.rows]
    assert severed == sorted(severed, reverse=True) and any(severed)
    for kind in (True, False):
        alone = [size for size, own in zip(sizes, severed) if own is kind]
        assert alone == sorted(alone, reverse=True)
    assert f"at cut {answer.rows[0][0]} of" in answer.text
    assert f"do not compare: inspect.without(tape, {answer.rows[0][0]}) says" in answer.text


def test_ghosts_with_respect_to_one_value_compare():
    x = th.tensor(2.0, requires_grad=True)
    with th.record(ghosts=True) as tape:
        (x.detach() * x.detach() * x).backward()
    assert len(th.inspect.ghosts(tape).rows) == 2 and "compare" not in th.inspect.ghosts(tape).text
