"""Bands: they can be seen on their ground, and what stands beside them can be read."""

import re
from itertools import combinations
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pictures import SPACE, classes, collisions, points, texts
from recordings import run, stacks, trained

from tinyhyper import inspect
from tinyhyper.inspect.canvas import part

GROUND = {"picture.css": 1.29, "picture.dark.css": 2.4}  # by style sheet, how far bands are from the ground at least


def luminance(colour):
    """Of a colour, as WCAG defines it."""
    shares = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [share / 12.92 if share <= 0.04 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return sum(share * weight for share, weight in zip(linear, (0.2126, 0.7152, 0.0722)))


def contrast(one, other):
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def colours(sheet, what):
    """By class, the colours of a kind."""
    rules = re.findall(r"([^{}]+)\{([^}]*)\}", part(sheet))
    found = [(names, colour[1]) for names, look in rules if (colour := re.search(rf"{what}: (#\w{{6}})", look))]
    return {name: colour for names, colour in found for name in re.findall(r"th-[-a-z]+", names)}


@pytest.mark.parametrize("sheet", GROUND)
def test_bands_stand_out_from_their_ground_and_their_tips_from_them(sheet):
    (ground, bands), tips = (colours(sheet, "fill")["th-band"], colours(sheet, "stroke")), colours(sheet, "fill")
    kinds = ["trail", "branch", "carry", "first", "second"]
    apart = {kind: contrast(bands[f"th-{kind}"], ground) for kind in kinds}
    assert min(apart.values()) > GROUND[sheet] and apart["trail"] > 1.15 * apart["branch"]
    assert min(contrast(tips[f"th-tip-{kind}"], bands[f"th-{kind}"]) for kind in kinds) > 1.6


def test_the_names_in_pale_boxes_can_be_read():
    for sheet, ground in (("picture.css", "#ffffff"), ("picture.dark.css", "#0d1117")):
        opacity = float(re.search(r"th-gone > text { opacity: ([.\d]+)", part("picture.css"))[1])
        ink = colours(sheet, "fill")["th-small"]
        parts = [(int(ink[n : n + 2], 16), int(ground[n : n + 2], 16)) for n in (1, 3, 5)]
        mixed = "".join([f"{round(opacity * one + (1 - opacity) * other):02x}" for one, other in parts])
        assert contrast(f"#{mixed}", ground) > 4.5


FRAME = float(re.search(r"rect\.th-branch { stroke-width: (\d+) }", part("picture.css"))[1]) / 2  # beyond a box
WEIGHTS = {"W1": [1.0, -2.0], "b1": 0.5, "W2": [0.3], "b2": 0.1}


def styled(root, *styles):
    """Texts of some styles, each with its corners."""
    pairs = zip(root.iter(SPACE + "text"), texts(root))
    return [found for text, found in pairs if text.get("class") in styles]


def framed(root):
    """The boxes with frames, without these."""
    frames = [rect for style in ("trail", "branch", "carry") for rect in classes(root, f"th-{style}")]
    places = [[float(rect.get(name)) for name in ("x", "y", "width", "height")] for rect in frames if rect.get("x")]
    return [(x, y, x + wide, y + high) for x, y, wide, high in places]


def on_a_frame(root):
    """The texts beside arrows that a frame runs through."""
    found = []
    for text, (left, top, right, bottom) in styled(root, "th-amount", "th-reason"):
        for x0, y0, x1, y1 in framed(root):
            if x0 - FRAME < right and left < x1 + FRAME and y0 - FRAME < bottom and top < y1 + FRAME:
                found.append(text)
    return found


@given(
    st.sampled_from(["sgd(0.1", "sgd(0.1, mu=0.3", "adam(0.02"]),
    st.integers(1, 3),
    st.sampled_from(["", "/sgd(1e-5)"]),
    st.integers(1, 4),
)
@example("adam(0.02", 2, "", 4)
@example("sgd(0.1, mu=0.3", 2, "/sgd(1e-5)", 2)
def test_each_leg_of_a_group_has_its_letters_and_a_frame_at_both_ends(rule, horizon, above, weights):
    params = dict([*WEIGHTS.items()][:weights])
    text = f"{rule}, horizon={horizon})/sgd(1e-3){above}"
    tape = trained(text, horizon + 1, params, ghosts=True, create_graph=True)
    answer = inspect.paths(tape, "alpha")
    root = ElementTree.fromstring(answer.svg())
    assert collisions(root) == []
    if "group" not in answer.columns:
        return
    assert on_a_frame(root) == []
    names = [corners for text, corners in styled(root, "th-amount") if re.match("[A-Z]", text)]
    bands = [band for style in ("trail", "branch") for band in classes(root, f"th-{style}") if band.get("d")]
    for band in bands:
        line = points(band.get("d"))
        assert min(np.hypot(*(line - np.clip(line, x[:2], x[2:])).T).min() for x in names) < 34
        for end in (line[0], line[-1]):
            apart = [np.abs(end - np.clip(end, box[:2], box[2:])).max() for box in framed(root)]
            assert min(apart) < 1


@given(stacks, st.integers(1, 4), st.integers(0, 5), st.data())
@example("sgd(0.05, mu=0.3)/sgd(1e-3)/sgd(1e-5)", 3, 0, None)
def test_what_two_cuts_are_called_does_not_read_as_one_text(stack, steps, seed, data):
    tape, *_ = run(f"{stack}/sgd(1e-3)", steps + 1, seed=seed, ghosts=True)
    cut = tape.cuts[-1 if data is None else data.draw(st.integers(0, len(tape.cuts) - 1))]
    for answer in (inspect.without(tape, cut.number), inspect.moved(tape, "alpha")):
        root = ElementTree.fromstring(answer.svg())
        found = styled(root, "th-reason")
        for (_, a), (_, b) in combinations(found, 2):
            if a[0] < b[2] and b[0] < a[2]:
                assert abs(a[1] - b[1]) >= 17
        assert on_a_frame(root) == []
