"""docs/mutation.md is what mutation.py found, and what survives can still be found in the source."""

import mutation_page
import pytest

FOUND = mutation_page.stored()


def test_the_page_shows_what_was_found():
    assert mutation_page.PAGE.read_text().endswith(f"{mutation_page.BEGIN}\n{mutation_page.page()}")


def test_of_400_faults_or_more_93_in_100_are_caught():
    killed, survived = (sum(counts[n] for counts in FOUND["files"].values()) for n in (0, 1))
    assert survived == len(FOUND["survivors"]) and killed + survived >= 400
    assert killed >= 0.93 * (killed + survived)


@pytest.mark.parametrize("survivor", FOUND["survivors"], ids=lambda s: s["before"])
def test_a_survivor_is_of_this_source_and_has_a_reason(survivor):
    source = (mutation_page.ROOT / "tinyhyper" / survivor["file"]).read_text()
    assert survivor["before"].strip() in " ".join(source.split()) and survivor["why"]
