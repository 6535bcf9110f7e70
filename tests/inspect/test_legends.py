"""Every mark in an answer's picture is in its legend, and the legend has no other."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pictures import SPACE, collisions
from recordings import by_hand, run, stacks

import tinyhyper as th
from tinyhyper import inspect
from tinyhyper.inspect import chain, contents, legend, table, timeline
from tinyhyper.inspect.captions import BRANCH, LEGEND
from tinyhyper.inspect.equation import COORDINATES
from tinyhyper.inspect.figure import figure
from tinyhyper.inspect.picture import Drawing
from tinyhyper.naming import within, word
from tinyhyper.plain import NOUGHT

STYLES = ("kept", "idle", "cut", "gate", "asked", "backward", "value", "trail", "branch", "carry", "second", "first")
WORDS = {**LEGEND, **legend.MARKS, "branch": BRANCH, "|…|": legend.NORM, "→": legend.INSTEAD, NOUGHT: legend.ROUNDING}
BARS = {"shape": contents.SHAPES, "arrow": "→ still alive at the end"}


def style(element):
    """What kind of arrow, band, box or scissors an element is; None if it is none that a legend explains."""
    known = element.get("class", "").split()
    if element.tag == SPACE + "path":
        return next((one for one in STYLES if f"th-{one}" in known), None)
    return next((one for one in ("gradient", "row-asked", "marked") if f"th-{one}" in known), None)


def drawn(root):
    """The kinds of arrows, bands, boxes and scissors in a picture of steps or of a graph, without the legend's.

    A dotted arrow below a kept one is not seen.
    """
    parts = [part for part in root.iter() if "th-key" not in part.get("class", "") and style(part)]
    kept = {part.get("d") for part in parts if style(part) == "kept"}
    found = {style(part) for part in parts if style(part) != "backward" or part.get("d") not in kept}
    reasons = [text.text for text in root.iter(SPACE + "text") if text.get("class") == "th-reason"]
    found |= {"ghost"} if any(re.search("ghost [^ ]", text) for text in reasons) else set()
    pills = [group for group in root.iter(SPACE + "g") if "gradient" in map(style, group)]
    names = [text.text for pill in pills for text in pill.iter(SPACE + "text")]
    forms = {"|…|": r"\|∂.*\|$", **{within(name, "…"): rf"\|?∂.*\b{word(name)}\b" for name in COORDINATES}}
    caption = [text.text for text in root.iter(SPACE + "text") if not text.get("class")]
    found |= {sign for sign in ("→", NOUGHT) if any(sign in name for name in names)}
    found |= {NOUGHT} if any(NOUGHT in line for line in caption) else set()
    return found | {kind for kind, form in forms.items() if any(re.match(form, name) for name in names)}


def explained(root):
    """The kinds of which a legend has a key, with its words."""
    found = {style(part) for part in root.iter() if "th-key" in part.get("class", "")} - {None}
    found -= {"gradient"} if "backward" in found else set()  # its key has both
    texts = [re.sub(r"^without cut \d+:", "without its cut:", text.text) for text in root.iter(SPACE + "text")]
    found |= {text for text in texts if text in ("ghost", "→", NOUGHT) or text.endswith(("…|", " …", "(…)"))}
    assert all(WORDS.get(kind, legend.COORDINATE) in texts for kind in found)
    return found


def check_steps(answer):
    root = ElementTree.fromstring(answer.svg())
    there, told = drawn(root), explained(root)
    told |= {"gradient"} if "backward" in told else set()
    if not {"trail", "carry"} & told:  # a band in the caption says what it is
        there -= {"trail", "carry"}
    assert there == told
    return there


def check_bars(answer, keys):
    """The same of bars. keys: what they mean, by how they look."""
    root = ElementTree.fromstring(answer.svg())
    bars = [part.get("class").split() for part in root.iter() if "th-bar" in part.get("class", "").split()]
    seen = {" ".join(one) for one in bars if "th-key" not in one}
    texts = [text.text for text in root.iter(SPACE + "text")]
    assert {" ".join(one[:-1]) for one in bars if "th-key" in one} == seen == {k for k in keys if keys[k] in texts}
    assert ("→" in texts) == (BARS["arrow"] in texts)
    assert collisions(root) == []
    return seen


@pytest.mark.either_backend
@example("sgd(0.05)", 1, 1, 0)
@example("adam(0.05)/sgd(0.05)/sgd(0.05)", 1, 3, 0)
@given(stacks, st.integers(1, 2), st.integers(1, 3), st.integers(0, 5))
def test_the_legends_of_the_answers_are_their_marks(stack, horizon, steps, seed):
    bottom, _, above = stack.partition("/")
    text = f"{bottom.removesuffix(')')}, horizon={horizon})/{above}" if above else stack
    tape, _, optimizer = run(text, steps, seed, create_graph=horizon > 1)
    check_steps(inspect.cuts(tape))
    for cut in tape.cuts[-1:]:
        check_steps(inspect.without(tape, cut))
    for name in optimizer._tuned:
        for step in (0, *range(1, steps + 1, horizon)):
            check_steps(inspect.why_zero(tape, f"{name}[{step}]"))
    check_bars(inspect.ghosts(tape), table.KEYS)
    check_bars(inspect.kept_alive(tape), timeline.KEYS)
    file = ElementTree.fromstring(inspect.checkpoint(tape).svg())
    texts = [text.text for text in file.iter(SPACE + "text")]
    assert (contents.SHAPES in texts) == any(re.search(r" \(\d+,.*\)$", text) for text in texts)


def test_the_legends_of_answers_with_many_kinds_of_marks():
    tape, *_ = run("sgd(0.1, mu=0.5)/sgd")
    assert check_steps(inspect.why_zero(tape, "alpha[0]")) >= {"marked", "ghost", "row-asked", "idle", "cut", "kept"}
    assert check_steps(inspect.cuts(by_hand(create_graph=True))) >= {"cut", "kept"}
    check_steps(inspect.cuts(by_hand(cut_gradient=False, create_graph=True)))
    wide = run("sgd(0.05, horizon=2)/sgd(1e-3)", create_graph=True)[0]
    assert "backward" in check_steps(inspect.cuts(wide))
    marks = check_steps(inspect.why_zero(wide, "alpha[0]"))  # the backward arrows lie below kept ones
    assert "gradient" in marks and "backward" not in marks


@given(st.sampled_from(["infinity", "NaN", "NaN of 0"]), st.sampled_from([1, 3]))
def test_the_legend_of_what_is_not_finite_has_the_bars_that_are_drawn(what, size):
    x = th.tensor(np.full(size, 1e200), requires_grad=True)
    with th.record() as tape:
        y = x * x if what == "infinity" else th.log(x * -1.0) if what == "NaN" else x * 0.0 / (x * 0.0)
        th.sum(y)
    seen = check_bars(inspect.first_nonfinite(tape), chain.KEYS)
    assert ("th-bar th-minus" in seen) == (what == "infinity")


def test_what_the_caption_alone_says_is_explained():
    tape, *_ = run("sgd(0.1)/sgd")
    for words in ("the gradient is ~ 0", "the gradient is 0"):
        found = explained(ElementTree.fromstring(Drawing(figure(tape), caption=words).draw()))
        assert (NOUGHT in found) == (NOUGHT in words)
