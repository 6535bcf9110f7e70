"""docs/results.md: what the experiments have left in docs/results, as a page."""

from dataclasses import replace
from pathlib import Path

from demos.paper import results

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_of_the_docs_is_what_its_files_give(monkeypatch):
    monkeypatch.setattr(results, "EXPERIMENTS", {replace(e, pictures=drawn): w for e, w in results.EXPERIMENTS.items()})
    text, _ = results.markdown(DOCS / "results")
    assert text == (DOCS / "results.md").read_text(encoding="utf-8")


def drawn(lines):
    """The names of the pictures, without the time that it takes to draw them."""
    return {f"{lines[0].run.experiment}.png": b""}
