"""The numbers of cuts below a picture: each cut that is drawn has its number there, with the value that it is of."""

import re
from xml.etree import ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pictures import collisions, texts
from recordings import run, stacks, trained

from tinyhyper import inspect
from tinyhyper.inspect.figure import figure
from tinyhyper.inspect.graph import Graph
from tinyhyper.inspect.numbering import numbers, ranges

EACH = re.compile(r"(\S+) ((?:\d+(?:–\d+)?(?: and )?)+)(?=,| \()")


def listed(span):
    """The numbers of some ranges."""
    ends = [[int(end) for end in part.split("–")] for part in span.split(" and ")]
    return [number for first, *last in ends for number in range(first, (last or [first])[0] + 1)]


def read(text):
    """What a reader finds: by the number of a cut, the name of a value, and what of it is cut."""
    found, before = {}, {}
    for part in text.removeprefix("numbers of cuts in ").split("; in "):
        told = part.partition(": ")[2]
        if higher := re.fullmatch(r"each (\d+) higher", told):
            found |= {number + int(higher[1]): what for number, what in before.items()}
            continue
        here = {}
        for group, whats in re.findall(r"(.*?) \(([^()]+)\)(?:, |$)", told):
            for name, span in EACH.findall(f"{group} ("):
                here |= {number: (name, what) for number, what in zip(listed(span), whats.split(", "), strict=True)}
        before = before or here
        found |= here
    return found


def meant(graph, cut):
    """The same of one cut, from its name in the printed tape."""
    name = re.sub(r"\[\d+\]", "", graph.name(cut.place))
    if gradient := re.fullmatch(r"∂loss/∂(?:log |sqrt |u\()?(.*?)\)?", name):
        return gradient[1], "gradient"
    return tuple(name.rsplit(".", 1)) if cut.reason == "state" else (name, "value")


@given(st.sets(st.integers(0, 40), min_size=1))
def test_ranges_hold_the_numbers_and_no_others(cuts):
    assert listed(ranges(sorted(cuts))) == sorted(cuts)


@pytest.mark.either_backend
@given(stacks, st.integers(1, 4), st.integers(0, 5))
@example("adam/adam/sgd(1e-6)", 3, 0)
@example("sgd(0.1, mu=0.5, horizon=2)/sgd(1e-3)", 4, 0)
def test_below_the_picture_each_cut_of_a_group_has_its_number_and_the_value_that_it_is_of(stack, steps, seed):
    tape = run(stack, steps=steps, seed=seed, create_graph="horizon" in stack)[0]
    graph, arrows = Graph(tape), figure(tape).arrows
    drawn = {cut.number: cut for arrow in arrows for cut in arrow.cuts}
    root = ElementTree.fromstring(inspect.cuts(tape).svg())
    words = [text for text, _ in texts(root)]
    begin = next((n for n, text in enumerate(words) if text.startswith("numbers of cuts in ")), len(words))
    assert collisions(root) == [] and (begin < len(words)) == any(len(arrow.cuts) > 1 for arrow in arrows)
    if begin < len(words):
        assert read(" ".join(words[begin:])) == {number: meant(graph, cut) for number, cut in drawn.items()}


def test_of_many_values_the_first_are_named_and_the_others_counted():
    tape = trained("sgd", 2, {f"w{n}": 1.0 for n in range(40)})
    text = numbers(Graph(tape), range(len(tape.cuts)))
    assert text == (
        f"numbers of cuts in step 1: {', '.join([f'w{n} {2 * n}–{2 * n + 1}' for n in range(16)])} and 24 more "
        "(value, gradient); in step 2: each 80 higher"
    )
