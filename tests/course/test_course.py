"""The course: its pages are lessons, and its checks are right about right and wrong answers and give nothing away."""

import html
import json
import os
import re
import subprocess
import sys
from code import InteractiveConsole
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinyhyper as th
from demos.course import lesson
from demos.course.pages import COURSE, cells, lessons
from demos.course.scripts import script
from demos.shared.settings import Settings
from tinyhyper.course import EXERCISES, check
from tinyhyper.course.cuts import BOTH, CHANGES, hypergradient
from tinyhyper.course.exercise import number, slope
from tinyhyper.course.hunt import EVIDENCE, ORDER, SUSPECTS, exhibit
from tinyhyper.optim import Hyperparameter, Optimizer

ROOT = Path(__file__).parents[2]
# Words that a lesson quotes from its outputs, and names with a step, such as `alpha[2]`.
QUOTED = re.compile(r"(?:says|lists) [*`]([^*`]+)[*`]|[*`]([^*`]+)[*`] (?:says|lists)|`(∂?[\w./∂]+\[\d+\])`")
PAGES = lessons()
NUMBERS = sorted(name for name, exercise in EXERCISES.items() if exercise.read is number)


def said(capsys, exercise, answer):
    check(exercise, answer)
    return capsys.readouterr().out


@pytest.mark.parametrize("lesson", PAGES)
def test_a_lesson_has_all_that_a_lesson_has(lesson):
    text = PAGES[lesson].read_text(encoding="utf-8")
    assert text.startswith(f"# Lesson {lesson}: ") and 10 <= int(re.search(r"^\*(\d+) minutes", text, re.M)[1]) <= 15
    assert "**Question.**" in text
    headings = re.findall(r"^## (.*)$", text, re.M)
    assert [h for h in headings if h in ("Predict", "Run", "Exercises", "What comes next")] == [
        "Predict", "Run", "Exercises", "What comes next",
    ]  # fmt: skip
    kinds = [cell.kind for cell in cells(text)]
    assert kinds.count("picture") >= 2 and f"slide{lesson}.svg" in text
    assert max(len(cell.source.splitlines()) for cell in cells(text) if cell.kind == "code") <= 30
    asked = re.findall(r"^\*\*(\d+\.\d)\*\*", text, re.M)
    assert asked == re.findall(r'^check\("(\d+\.\d)", \.\.\.\)', text, re.M)
    assert asked == [name for name in EXERCISES if name.startswith(f"{lesson}.")] and 2 <= len(asked) <= 3


@pytest.mark.parametrize("lesson", PAGES)
def test_on_a_slide_no_letters_are_smaller_than_in_a_picture(lesson):
    slide = (ROOT / "docs" / "figures" / PAGES[lesson].stem / f"slide{lesson}.svg").read_text(encoding="utf-8")
    width, height = map(float, re.search(r'viewBox="0 0 (\S+) (\S+)"', slide).groups())
    assert width <= 1280 and height <= 720


def test_no_lesson_writes_over_the_file_of_another():
    """A student runs all of them in one folder."""
    texts = [page.read_text(encoding="utf-8") for page in PAGES.values()]
    made = [{cell.source for cell in cells(text) if cell.kind in ("picture", "explorer")} for text in texts]
    assert sum(map(len, made)) == len(set.union(*made))


def not_shown(text, figures):
    """What a page quotes and neither its code, nor what this prints, nor its pictures have."""
    words = " ".join(" ".join(cell.source for cell in cells(text) if cell.kind == "text").split())
    blocks = re.findall(r"^```\w+.*?\n(.*?)^```", text, re.M | re.DOTALL)
    drawn = [html.unescape(re.sub("<[^>]*>", " ", path.read_text(encoding="utf-8"))) for path in figures]
    shown = " ".join(" ".join([*blocks, *drawn]).split()).lower()
    quoted = ["".join(found) for found in QUOTED.findall(words)]
    return [each for each in quoted if each.lower() not in shown], quoted


@pytest.mark.parametrize("lesson", PAGES)
def test_what_a_lesson_quotes_is_in_its_outputs(lesson):
    page = PAGES[lesson]
    missing, _ = not_shown(page.read_text(encoding="utf-8"), (ROOT / "docs" / "figures" / page.stem).glob("*.svg"))
    assert not missing


def test_a_quotation_without_a_source_is_noticed():
    page = "*Off the paths* lists\n{0}, and\n`alpha[2]` is 3. It says `see above`.\n\n"
    page += "```text\nOff the paths: see above, alpha[2]\n```\n"
    assert not_shown(page.format("cuts"), []) == ([], ["Off the paths", "alpha[2]", "see above"])
    assert not_shown(page.format("`w[1]`").replace("Off the paths:", ""), [])[0] == ["Off the paths", "w[1]"]


def test_the_index_and_the_solutions_have_every_lesson_and_every_exercise():
    index, solutions = ((COURSE / name).read_text(encoding="utf-8") for name in ("README.md", "solutions.md"))
    assert all(f"({page.name})" in index for page in PAGES.values())
    assert re.findall(r'^check\("(\d+\.\d)"', solutions, re.M) == list(EXERCISES)
    assert re.findall(r"^(\d+\.\d) is right\.", solutions, re.M) == list(EXERCISES)


@given(exercise=st.sampled_from(NUMBERS), answer=st.floats(-1e6, 1e6))
def test_a_number_at_random_is_not_right_and_gets_a_hint_without_the_answer(exercise, answer):
    verdict = EXERCISES[exercise].verdict(answer)
    solutions = (COURSE / "solutions.md").read_text(encoding="utf-8")
    right = eval(re.search(rf'check\("{exercise}", (.*)\)$', solutions, re.M)[1], {"np": np})
    if verdict.startswith("is right"):
        assert exercise == "4.2" or abs(answer - right) <= 1e-2 * abs(right)
    else:
        assert verdict.startswith("is not right yet. ") and len(verdict) > 40
        if exercise not in ("3.1", "4.2"):  # the answers of which are made of numbers that a hint may say
            given_away = [float(x) for x in re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", verdict)]
            assert not any(abs(x - right) < 1e-3 * abs(right) for x in given_away if abs(x - answer) > 1e-3)


@given(guess=st.lists(st.sampled_from(SUSPECTS), min_size=3, max_size=3), first=st.sampled_from([1, 4]))
def test_a_hint_on_an_exhibit_tells_nothing_of_the_right_name(guess, first):
    verdict = EXERCISES["11.1" if first == 1 else "11.2"].verdict(guess)
    if wrong := [(n, name) for n, name in enumerate(guess, first) if name != ORDER[n]]:
        number, name = wrong[0]
        assert verdict == f"is not right yet. Exhibit {number} is not {name!r}. {EVIDENCE[name]}"
    else:
        assert verdict.startswith("is right")


def made(equation, tuned=True, decay=0.01):
    """An optimizer with a rule, and alpha and decay in its table."""
    rule = eval(f"lambda w, g, *, alpha, decay, t: {equation}")
    table = {"decay": Hyperparameter(decay, tuned=tuned), "alpha": Hyperparameter(0.1)}
    return type("Made", (Optimizer,), {"table": table, "rule": staticmethod(rule)})


def by_hand(loss=None, cuts=("weights", "gradient"), moves=1, first="alpha"):
    """A tower as the lesson writes it, or with a mistake."""

    def tower(loss_of, w, alpha, kappa, steps):
        w, alpha = th.tensor(w, requires_grad=True), th.tensor(alpha, requires_grad=True)
        for _ in range(steps):
            (loss or loss_of)(w).backward()
            old, new = alpha, alpha
            if alpha.grad is not None:
                new = th.tensor(alpha.item() - moves * kappa * alpha.grad.item(), requires_grad=True)
            alpha = new
            before, g = w.detach() if "weights" in cuts else w, w.grad.detach() if "gradient" in cuts else w.grad
            w = (before - (old if first == "w" else new) * g).retain_grad()
        return w, alpha.item()

    return tower


@pytest.mark.parametrize(
    ("exercise", "answer", "word"),
    [
        ("1.1", -12, "w * w"),
        ("1.1", -4, "product"),
        ("1.1", -11, "both sides"),
        ("1.1", 2, "two paths through w * w"),
        ("1.1", 10, "Here w is 1"),
        ("1.2", 1.6, "smaller"),
        ("1.2", 1.4, "larger"),
        ("1.3", lambda f, x: (f(x + 1e-5) - f(x)) / 1e-5, "one side"),
        ("1.3", lambda f, x: (f(x) - f(x - 1e-6)) / 1e-6, "one side"),
        ("1.3", lambda f, x: 1.0, "at two numbers"),
        ("1.3", lambda f, x: f(x), "at two numbers"),
        ("1.3", lambda f, x: (f(x + 1e-5) - f(x - 1e-5)) / 1e-5, "by the distance"),
        ("1.3", lambda f, x: (f(x + 0.01) - f(x - 0.01)) / 0.02, "Go closer"),
        ("1.3", lambda f, x: (f(x + 1e-12) - f(x - 1e-12)) / 2e-12, "Go further apart"),
        ("2.1", 24, "larger or smaller"),
        ("2.1", -40, "after the step"),
        ("2.1", 5, "Compute g0"),
        ("2.2", lambda w, alpha: 0.0, "Compute g0"),
        ("2.2", lambda w, alpha: 4 * w**3 @ (4 * (w - alpha * 4 * w**3) ** 3), "larger or smaller"),
        ("2.2", lambda w, alpha: -16 * np.sum(w**6), "after the step"),
        ("2.2", lambda w, alpha: -4 * np.sum(w * (w - alpha * 2 * w)), "right for sum(w ** 2)"),
        ("2.3", 0.3, "a shorter"),
        ("2.3", 0.2, "a longer"),
        ("2.3", 0.5, "one weight is at its minimum"),
        ("2.3", 0.1667, "one weight is at its minimum"),
        ("3.1", -10.24, "two steps"),
        ("3.1", hypergradient((), (), ()), "without any cut"),
        ("3.1", -8.192, "one of the two gradients"),
        ("3.1", 6.5536, "the sign is not"),
        ("3.1", -6.5, "three digits"),
        ("3.1", -12, "further from zero"),
        ("3.1", 1.0, "last step counts"),
        ("3.2", -20.48, "two steps from w1"),
        ("3.2", hypergradient((), (), ()), "without any cut"),
        ("3.2", hypergradient((), (), BOTH), "Here step 3 makes none"),
        ("3.2", hypergradient((), BOTH, BOTH[:1]), "one cut in step 3"),
        ("3.2", hypergradient((), BOTH, BOTH[1:]), "one cut in step 3"),
        ("3.2", 13.1072, "the sign is not"),
        ("3.2", -13, "three digits"),
        ("3.2", 1.0, "What do the cuts of step 2 stop"),
        ("3.3", 2.862, "of the lesson"),
        ("3.3", 0.2147, "gradient's cut"),
        ("3.3", 1.789, "gradient at w1"),
        ("3.3", 9.0, "ghosts"),
        ("4.1", lambda loss, w, alpha, kappa, steps: (w, alpha), "gradient of loss_of"),
        ("4.1", by_hand(loss=lambda w: th.sum(w * w)), "gradient of loss_of"),
        ("4.1", by_hand(cuts=()), "without a cut"),
        ("4.1", by_hand(moves=0), "From the second step on"),
        ("4.1", by_hand(first="w"), "the old or the new one"),
        ("4.1", lambda loss, w, alpha, kappa, steps: w, "two values"),
        ("4.1", lambda loss, w, alpha, kappa, steps: th.tensor(w).detach().retain_grad(), "Make a new tensor"),
        ("4.1", lambda loss, w, alpha, kappa, steps: th.tensor(w).grad.detach(), "retain_grad"),
        ("4.2", 1e-4, "too small"),
        ("4.2", 0.06, "too large"),
        ("4.2", -0.01, "positive"),
        ("4.3", ["same", "error", "same"], "Change A is not 'same'"),
        ("4.3", ["error", "other", "same"], "Change B is not 'other'"),
        ("4.3", ["Error", "same ", "Other"], "Change C is not 'other'"),
        ("4.3", ["weights", "same", "other"], "none of the three words"),
        ("5.1", 1.126, "as in the lesson"),
        ("5.1", 0.17763, "hundred times"),
        ("5.1", -3.456, "both paths"),
        ("5.1", 82.24, "of the other weight"),
        ("5.1", 50, "-g1"),
        ("5.2", 0.216, "lower the loss"),
        ("5.2", 0, "Which velocity"),
        ("5.2", -0.2808, "Which one did it read"),
        ("5.2", -0.32, "At which weights"),
        ("5.2", 1.0, "How does mu enter"),
        ("5.3", [1, 2], "contribute -12.8 and -3.2"),
        ("5.3", [2, 4], "contribute -3.2 and -3.2"),
        ("5.3", [3, 1], "all of it from one weight"),
        ("5.3", [1, 2, 3], "Two numbers"),
        ("6.1", 5, "number of the level"),
        ("6.1", 6, "By this count"),
        ("6.1", 8, "too late"),
        ("6.1", 9, "The height does not matter"),
        ("6.1", 1, "and the next one"),
        ("6.2", 6, "two values"),
        ("6.2", 10, "One move is missing"),
        ("6.2", 11, "even"),
        ("6.2", 14, "does nothing move"),
        ("6.2", 24, "twice as many"),
        ("6.2", 36, "Count what is moved"),
        ("6.3", 14, "in all"),
        ("6.3", 0, "Level 0 moves both"),
        ("6.3", 1, "beside the old weights"),
        ("6.3", 12, "Only level 0"),
        ("7.1", 103, "does each step add"),
        ("7.1", 3, "with the cut"),
        ("7.1", 297, "one step too few"),
        ("7.2", 3, "between two cuts"),
        ("7.2", 27, "before the first cut"),
        ("7.2", 300, "How many steps can be alive"),
        ("8.1", -2500, "divided by alpha"),
        ("8.1", -50, "which is given"),
        ("8.1", 1.0, "grow or fall"),
        ("8.1", 2.0, "how much does alpha grow"),
        ("8.2", 0.12, "factor"),
        ("8.2", 5.02, "factor"),
        ("8.2", 0.0181, "In which direction"),
        ("8.2", -3.812, "asks for alpha"),
        ("8.2", 0.5, "How far does log alpha move"),
        ("8.3", (lambda u: u, lambda v: v), "between 0 and 2"),
        ("8.3", (lambda u: 1 + np.tanh(u), lambda v: v), "but inverse"),
        ("8.3", (lambda u: 1 - np.tanh(u), lambda v: np.arctanh(1 - v)), "does not grow"),
        ("9.1", -0.4999, "smaller alpha"),
        ("9.1", -1.0001, "after the step"),
        ("9.1", 1.0, "after it"),
        ("9.2", 2.5, "an integer"),
        ("9.2", 4, "other sign"),
        ("9.2", 7, "Fewer"),
        ("9.3", 100, "Both are in memory"),
        ("10.1", th.optim.SGD, "no decay"),
        ("10.1", made("w - alpha / (1 + decay * (t - 1)) * g"), "divide alpha"),
        ("10.1", made("w + alpha / (1 + decay * t) * g"), "which sign"),
        ("10.1", made("w - alpha / (1 + decay * t) * g", decay=0.1), "decay is 0.1. The exercise has 0.01"),
        ("10.1", made("w - alpha / (1 + decay * t) * g", tuned=False), "does not tune"),
        ("10.2", 1.0, "2.1"),
        ("11.1", ["uphill", "uphill", "uphill"], "Exhibit 2 is not"),
        ("11.2", ["in place", "state not cut", "gone"], "not a name in the table"),
        ("12.1", lambda values: np.std(values, ddof=1), "standard deviation"),
        ("12.1", np.std, "standard deviation"),
        ("12.1", lambda values: np.std(values) / np.sqrt(len(values)), "n - 1"),
        ("12.1", lambda values: np.var(values, ddof=1) / len(values), "the square of"),
        ("12.1", lambda values: 0.0, "how far does their mean"),
        ("12.2", lambda validation, test: test.mean(1).min(), "you have looked"),
        ("12.2", lambda validation, test: test[2].mean(), "lucky seed"),
        ("12.2", lambda validation, test: validation.mean(1).min(), "flatters"),
        ("12.2", lambda validation, test: 0.0, "which one judges"),
    ],
)
def test_a_usual_mistake_is_named(capsys, exercise, answer, word):
    assert "is not right yet" in (text := said(capsys, exercise, answer)) and word in text


def last_alpha(loss, w, alpha, kappa, steps):
    params, optimizer = {"w": th.tensor(w, requires_grad=True)}, th.optim.SGD(alpha, optimizer=th.optim.SGD(kappa))
    for _ in range(steps):
        loss(params["w"]).backward()
        optimizer.step(params)
    return params["w"], optimizer.hyperparameters["alpha"]


def test_a_tower_is_compared_bit_for_bit(capsys):
    def nearly(*args):
        w, alpha = last_alpha(*args)
        return w, np.nextafter(alpha, 1.0)

    def other_weights(*args):
        w, alpha = last_alpha(*args)
        return w.numpy() * (1 + 1e-15), alpha

    assert "is right" in said(capsys, "4.1", last_alpha)
    assert "the bits differ. In which order" in said(capsys, "4.1", nearly)
    assert "the bits differ. In which order" in said(capsys, "4.1", other_weights)


def cut_otherwise(left_out, keep):
    """What becomes of lesson 4's tower if it leaves out a cut: a word of exercise 4.3."""
    code = "\n".join(cell.source for cell in cells(PAGES[4].read_text(encoding="utf-8")) if "def tower" in cell.source)
    for old, new in ((left_out, left_out.replace(".detach()", "")), ("backward()", f"backward(retain_graph={keep})")):
        assert code.count(old) == 1
        code, names = code.replace(old, new), {}
    wanted = last_alpha(lambda w: th.sum(w**2), [1.0, -2.0], 0.01, 0.001, 40)
    try:
        exec(code, names)
    except th.GraphReleasedError:
        return "error"
    same = names["history"][-1][1] == wanted[1] and names["w"].numpy().tobytes() == wanted[0].numpy().tobytes()
    return "same" if same else "other"


def test_the_words_of_exercise_4_3_are_what_becomes_of_the_lessons_tower():
    changes = (("w.detach()", False), ("w.grad.detach()", False), ("w.detach()", True))
    assert [cut_otherwise(*change) for change in changes] == [word for word, _ in CHANGES]


def test_a_check_warns_of_nothing(recwarn, capsys):
    assert "too large" in said(capsys, "4.2", 10.0) and not recwarn.list


def test_the_number_of_an_exercise_may_be_a_number(capsys):
    assert said(capsys, 1.1, -10) == said(capsys, "1.1", -10)


@pytest.mark.parametrize("exercise", EXERCISES)
def test_what_is_no_answer_is_told(capsys, exercise):
    assert "is open" in said(capsys, exercise, ...)
    for answer, word in ((object(), "a value of type object"), (None, "nothing"), (np.nan, "nan"), (-np.inf, "-inf")):
        assert f"asks for {EXERCISES[exercise].wants}. Your answer is {word}." in said(capsys, exercise, answer)
    if exercise == "8.3":
        assert "asks for" in said(capsys, exercise, [1, 2])
    assert "asks for" in said(capsys, exercise, "abc")


@pytest.mark.parametrize(
    ("exercise", "answer", "what"),
    [
        ("1.3", lambda f, x: None, "nothing"),
        ("2.2", lambda w, alpha: np.ones(2), "an array of shape (2,)"),
        ("4.1", lambda loss, w, alpha, kappa, steps: (w, [alpha, alpha]), "a value of type list"),
        ("1.3", lambda f, x: float("nan"), "nan"),
        ("8.3", (lambda u: 1 + np.tanh(u), lambda alpha: None), "nothing"),
        ("12.1", lambda values: np.array(values), "an array of shape (4,)"),
        ("12.2", lambda validation, test: np.inf, "inf"),
    ],
)
def test_what_a_students_function_returns_in_place_of_a_number_is_told(capsys, exercise, answer, what):
    assert f"stopped: TypeError: your function returned {what}, not a number" in said(capsys, exercise, answer)


def test_a_number_for_each_weight_is_to_become_one_number(capsys):
    not_summed = said(capsys, "2.2", lambda w, alpha: -16 * w**3 * (w - alpha * 4 * w**3) ** 3)
    assert "not a number. Make one number" in not_summed
    assert "Make one" not in said(capsys, "2.2", lambda w, alpha: None)


def test_a_hint_of_one_exercise_is_not_the_answer_of_another(capsys):
    assert "-10" not in said(capsys, "1.2", 1)


def test_an_error_in_a_students_function_is_told_in_a_line(capsys):
    assert said(capsys, "2.2", lambda w: 1.0).startswith("2.2 stopped: TypeError: ")
    assert said(capsys, "1.3", lambda f, x: f(y)).startswith("1.3 stopped: NameError: ")  # noqa: F821


@pytest.mark.parametrize("number", range(1, len(ORDER)))
def test_an_exhibit_has_its_mistake_and_no_other(number):
    tape, found = exhibit(number), str(th.inspect.check(exhibit(number)))
    moved = th.inspect.moved(tape, "alpha")
    says = {
        "uphill": lambda: any(float(change) * float(slope) > 0 for _, _, _, change, slope, *_ in moved.rows),
        "in the loop": lambda: "moves alpha 2 times" in found,
        "alpha cut": lambda: "must not be cut" in found,
        "nothing cut": lambda: "a[2] is computed from a[1] along a kept edge" in found,
        "state not cut": lambda: "a.velocity[2] is computed from a.velocity[1] along a kept edge" in found,
        "in place": lambda: "use alpha in a rule" in found,
    }
    assert says[ORDER[number]]()
    assert [name for name, holds in says.items() if holds()] == [ORDER[number]]


def test_the_first_exhibit_is_right_and_there_are_no_others():
    assert "nothing to report" in str(th.inspect.check(exhibit(0)))
    with pytest.raises(th.ArgumentError, match="0 to 6, not 7"):
        exhibit(7)


def test_an_exercise_that_is_not_there_is_refused():
    with pytest.raises(th.ArgumentError, match=r"'9\.9'.*1\.1"):
        check("9.9", 1)


@given(at=st.floats(-3, 3))
def test_the_referee_is_right_to_many_digits(at):
    assert abs(slope(np.sin, at) - np.cos(at)) < 1e-9 and abs(slope(lambda x: x**4, at) - 4 * at**3) < 1e-7


def demo(*words, folder, typed=""):
    command = [sys.executable, "-m", "demos", *words, "--out", folder]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, input=typed)


def test_a_lesson_runs_in_a_terminal(tmp_path):
    found = demo("lesson", "1", folder=tmp_path)
    assert (found.returncode, found.stderr) == (0, "") and "d loss / d w = 10.0" in found.stdout
    tree = re.search(r"^loss\[0\] = .*?leaf$", PAGES[1].read_text(encoding="utf-8"), re.M | re.DOTALL)[0]
    assert tree in found.stdout  # with the lines of the page
    assert {path.name for path in tmp_path.iterdir()} == {"tape.svg", "slide1.svg"}
    found = demo("lesson", "99", folder=tmp_path)
    assert found.returncode == 2 and found.stderr.count("\n") == 1 and "no lesson 99" in found.stderr


def test_what_is_typed_at_a_stop_is_run(tmp_path, monkeypatch, capsys):
    """Before the first cell an answer, then a function; the empty lines end the function and run the cells."""
    typed = ['check("1.1", -10)']
    typed += ["def twice(x):", "    return 2 * x", "", "twice(4)", ""]
    asked = []

    def answer(prompt):
        asked.append(prompt)
        if not typed:
            raise EOFError
        return typed.pop(0)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("builtins.input", answer)
    assert lesson.main(Settings(lesson=1, out=tmp_path)) == 0
    said = capsys.readouterr().out
    assert said.index("1.1 is right") < said.index("\n8\n") < said.index("d loss / d w = 10.0")
    assert asked == [lesson.STOP] * 2 + ["... "] * 2 + [lesson.STOP] * 3 and 'tape.save_svg("tape.svg")' in said
    assert "## Exercises" not in said  # the end of the input is the end of the lesson
    typed[:] = [""] * 6
    assert lesson.main(Settings(lesson=1, out=tmp_path)) == 0 and lesson.END in capsys.readouterr().err


def test_a_pipe_is_read_as_what_is_typed(tmp_path):
    """What it has stands before the second cell, before the third one, and after the last."""
    typed = ["", "w.grad", "def twice(x):", "    return 2 * x", "", "twice(w.item())", *[""] * 5]
    typed += ["check(1.1, -10)", "print(len(stops) + 7)"]
    found = demo("lesson", "1", folder=tmp_path, typed="\n".join(typed))
    assert (found.returncode, found.stderr) == (0, "")
    words = ["d loss / d w = 10.0", "tensor(10.)", "\n4.0", "4 stops", "1.3 is open", "1.1 is right", "\n11"]
    places = [found.stdout.index(word) for word in words]
    assert places == sorted(places)


def test_a_lesson_runs_through_where_a_pipe_ends_within_a_block(tmp_path):
    found = demo("lesson", "1", folder=tmp_path, typed="max(1,\n")
    assert (found.returncode, found.stderr) == (0, "") and "1.3 is open" in found.stdout


@pytest.mark.parametrize("number", PAGES)
def test_the_site_folds_what_the_section_run_prints_and_no_more(number):
    """There a reader would see what the section before asks to predict."""
    pytest.importorskip("nbformat")
    from demos.course.notebooks import notebook

    text = PAGES[number].read_text(encoding="utf-8")
    run = re.search(r"^## Run\n(.*?)^## ", text, re.M | re.DOTALL)[1]
    folded = [cell.source for cell in notebook(text).cells if "hide-output" in cell.metadata.get("tags", ())]
    prints = re.findall(r"^```python\n((?:(?!```).)*)^```\n\n```text", run, re.M | re.DOTALL)
    assert folded and folded == [code.strip() for code in prints]


def test_notebooks_are_valid_and_lead_to_each_other(tmp_path):
    nbformat = pytest.importorskip("nbformat")
    assert demo("course", folder=tmp_path).returncode == 0
    made = {f"{page.stem}.{suffix}" for page in PAGES.values() for suffix in ("ipynb", "py")}
    assert {path.name for path in tmp_path.iterdir()} == made
    for path in tmp_path.glob("*.ipynb"):
        nbformat.validate(json.loads(path.read_text(encoding="utf-8")))
        text = path.read_text(encoding="utf-8")
        linked = re.findall(r"\(([\w-]+\.ipynb)\)", text)
        assert ".md" not in text and all((tmp_path / name).exists() for name in linked)


@pytest.mark.slow
@pytest.mark.parametrize("number", PAGES)
def test_a_script_runs_by_itself(number, tmp_path):
    text = PAGES[number].read_text(encoding="utf-8")
    path = tmp_path / "lesson.py"
    path.write_text(script(text), encoding="utf-8")
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, path], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr  # which may say that something is compiled
    assert all(f"\n{cell.source}: " in run.stdout for cell in cells(text) if cell.kind in ("picture", "explorer"))
    assert run.stdout.count(" is open. ") == len(re.findall(r"^check\(", text, re.M))
    assert {cell.source for cell in cells(text) if cell.kind == "picture"} <= {each.name for each in tmp_path.iterdir()}


@pytest.mark.parametrize("page", [PAGES[3], PAGES[6], PAGES[9]], ids=lambda page: page.stem)
def test_an_explorer_opens_in_the_notebook_and_the_script_says_where_it_is(page, tmp_path, monkeypatch, capsys):
    pytest.importorskip("nbformat")
    from demos.course.notebooks import notebook

    text = page.read_text(encoding="utf-8")
    (found,) = [cell for cell in cells(text) if cell.kind == "explorer"]
    name = f"explorer{int(page.name[:2])}.html"
    assert found.source == name and f'{found.words}.save_html("{name}")' in text
    assert f"{found.words}.explore()" in [cell.source for cell in notebook(text).cells]
    assert f"print('{name}: open this file in a browser')" in script(text)
    monkeypatch.chdir(tmp_path)
    lesson.show(found, "here", InteractiveConsole())
    assert capsys.readouterr().out == f"The explorer is in {tmp_path / name}: open this file in a browser.\n"
