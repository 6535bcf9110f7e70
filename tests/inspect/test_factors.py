"""Where a move is a rate times a gradient, the numbers that are printed multiply out."""

import re
from xml.etree import ElementTree

from hypothesis import example, given
from hypothesis import strategies as st
from pictures import texts
from recordings import trained

from tinyhyper import inspect
from tinyhyper.optim import SGD

NUMBER = r"-?\d[.\d]*(?:e-?\d+)?"


def rounded(number):
    return float(f"{number:.4g}")


def drawn(answer):
    return [text.replace("−", "-") for text, _ in texts(ElementTree.fromstring(answer.svg()))]


@given(st.floats(1e-4, 3), st.floats(-2, 2), st.integers(2, 4))
@example(0.00123456, 1.2345, 3)
def test_a_rate_times_a_gradient_is_the_move_as_they_are_printed(kappa, start, steps):
    tape = trained(SGD(0.1, optimizer=SGD(kappa)), steps, {"w": [start, 0.5]})
    answer = inspect.moved(tape, "alpha")
    lines = re.findall(r"^ +\d+ .*", str(answer).replace("−", "-"), re.MULTILINE)
    assert len(lines) == steps
    for line in lines:
        *_, change, gradient, rate = map(float, re.findall(NUMBER, line.replace("of level 1", "")))
        assert rounded(-gradient * rate) == change


@given(st.floats(0.2, 3), st.floats(1, 9))
@example(2.0, 3.0)
def test_the_step_out_of_a_range_is_the_product_that_is_printed(kappa, start):
    tape = trained(SGD(0.9, optimizer=SGD(kappa)), 3, {"w": [start, -start]})
    answer = inspect.left_range(tape, "alpha")
    words = r"kappa = (\S+)\) moved it from \S+, against a gradient of (\S+)\. This step of (\S+) was"
    if found := re.search(words, answer.text.replace("−", "-")):
        rate, gradient, change = map(float, found.groups())
        assert rounded(-gradient * rate) == change and found[2] in drawn(answer)


def test_the_picture_of_moves_says_where_a_value_stayed_the_same():
    answer = inspect.moved(trained("adam(0.02)/sgd(1e-3)", 3), "alpha")
    assert "At step 1 it stayed the same: no loss had sent a gradient yet." in " ".join(drawn(answer))
