"""Names, reasons, titles and file names of any characters: what shows them is still XML, UTF-8, and lines of text."""

import re
from xml.etree import ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from recordings import trained

import tinyhyper as th
from tinyhyper import inspect
from tinyhyper.inspect.explorer import page
from tinyhyper.inspect.notebook import tower_html
from tinyhyper.plain import plain, plain_lines

ODD = "\x00\t\n\x0c\r\x1b[31m\x7f\x85\x9b\u2028\u2029\u202e\u2066\ud800\ufffe\uffff"
TEXTS = st.text(st.sampled_from(ODD) | st.characters() | st.sampled_from("<&'\"\\[]"), min_size=1, max_size=8)


def tape_of(name, reason, title, file):
    def loss(params):
        return sum(th.sum(w * w.detach(reason) * w) for w in params.values())

    tape = trained("sgd(mu=0.5)/sgd", 2, {name: [1.0, -2.0], "w": 0.5}, loss, ghosts=True)
    tape.title = title
    for node, cut in zip(tape.nodes, tape.cuts):
        node.file = cut.file = file
    return tape


def printed(tape, name):
    """All that is made of a recording for a terminal, and all that is made for a browser."""
    answers = [inspect.cuts(tape), inspect.ghosts(tape), inspect.checkpoint(tape), inspect.kept_alive(tape)]
    answers += [inspect.moved(tape, name), inspect.without(tape, 0), inspect.times(tape)]
    answers.append(inspect.differences(tape, tape))
    pictures = [inspect.svg(tape), *[answer.svg() for answer in answers]]
    shown = [str(tape), tape.tree(of="w"), str(inspect.check(tape)), *map(str, answers)]
    marked = [page(tape), tape._repr_html_(), inspect.check(tape)._repr_html_()]
    return shown, pictures, [*marked, *[answer._repr_html_() for answer in answers]]


@pytest.mark.slow
@given(TEXTS, TEXTS, TEXTS, TEXTS)
@example(ODD, ODD, ODD, ODD)
def test_whatever_a_text_holds_terminals_xml_and_utf8_can_hold_what_is_made_of_it(name, reason, title, file):
    tape = tape_of(name, reason, title, f"/x/{file}.py")
    shown, pictures, marked = printed(tape, name)
    for text in shown:
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202e\ud800-\udfff]", text)
        text.encode()
    for text in pictures:
        root = ElementTree.fromstring(text.encode())
        assert {part.tag.rpartition("}")[2] for part in root.iter()} <= TAGS
    assert ElementTree.fromstring(pictures[0].encode())[0].text == plain_lines(title)
    for text in marked:
        text.encode()
    written = tape.to_json()
    again = inspect.Recording.from_json(written.encode().decode())
    assert again.nodes == tape.nodes and again.cuts == tape.cuts and again.title == title
    assert all(line.isprintable() for line in tape.to_dot().split("\n"))


TAGS = {"svg", "g", "title", "desc", "style", "path", "rect", "text", "circle"}


@given(TEXTS)
def test_plain_text_is_kept_and_odd_text_is_written_as_python_would(text):
    once = plain(text)
    assert once == plain(once) and once.encode() and "\n" not in once
    assert plain_lines(text).count("\n") == text.count("\n")
    if not set(text) & set(ODD) and text.isprintable():
        assert once == text


def test_odd_characters_by_name():
    assert plain("a\x1b[31m\x00\n\ud800∂é") == r"a\x1b[31m\x00\n\ud800∂é"
    assert plain_lines("a\x1b\nb") == "a\\x1b\nb"


def test_a_name_is_asked_for_as_it_is_and_as_it_is_shown():
    tape = tape_of("a\x1b\n", "r", "t", "f.py")
    for name in ("a\x1b\n", r"a\x1b\n", "a\x1b\n[1]", r"a\x1b\n[1]"):
        assert inspect.moved(tape, name).rows
    assert r"a\x1b\n" in inspect.svg(tape, trail=["loss[1]", "a\x1b\n[1]"])


def test_a_tower_of_odd_names_shows_itself_in_a_notebook():
    assert r"\ud800" in tower_html(th.optim.SGD({"\ud800": 0.1}, optimizer=th.optim.SGD(0.1)))


def test_a_file_from_a_folder_of_another_encoding_is_saved(tmp_path):
    tape = tape_of("w2", "r", "t", b"/home/r\xe9sum\xe9/train.py".decode("utf-8", "surrogateescape"))
    assert tape.save_html(tmp_path / "run.html").read_text(encoding="utf-8")
    assert tape.save_svg(tmp_path / "cut.svg").read_text(encoding="utf-8")
    assert inspect.cuts(tape).save_svg(tmp_path / "cuts.svg").exists()
    assert inspect.Recording.from_json(tape.to_json()).nodes[0].file == tape.nodes[0].file


def test_a_reason_is_made_text():
    with th.record() as tape:
        th.tensor([1.0]).detach(7)
    assert tape.cuts[0].reason == "7" and "7" in str(inspect.cuts(tape))


@pytest.mark.parametrize("file", ["/dev/zero", "\x00.py", "\ud800.py", "x/tinyhyper/" + "y" * 5000, "/", ""])
def test_a_recording_may_name_any_file_and_none_is_opened_but_python_of_ones_own(file):
    assert inspect.check(tape_of("v", "r", "t", file)) is not None
