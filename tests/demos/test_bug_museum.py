"""The bug museum: each property holds for what is right and not for what is faulty; so does the inspector's word."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinyhyper as th
from demos import museum
from demos.museum import EXHIBITS, exhibits, properties
from tinyhyper.testing import check_hypergradients

PAGE = Path(__file__).parents[2] / "docs" / "bugs.md"
SEEDS = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("name", EXHIBITS)
@given(seed=SEEDS)
def test_the_property_holds_for_the_right_one_and_not_for_the_faulty_one(name, seed):
    exhibit = EXHIBITS[name]
    assert not exhibit.complaint(exhibit.right, seed)
    assert any(exhibit.complaint(exhibit.faulty, s) for s in (seed, seed + 1, seed + 2))  # a beta may stay by chance


@pytest.mark.parametrize("name", EXHIBITS)
def test_the_inspector_says_its_word_of_the_faulty_one_alone(name):
    exhibit = EXHIBITS[name]
    assert exhibit.says in exhibit.answer(exhibit.faulty)
    assert exhibit.says not in exhibit.answer(exhibit.right)


UNCUT = ["nothing cut", "state not cut"]


@pytest.mark.parametrize("name", UNCUT)
@given(seed=SEEDS)
def test_a_missing_cut_changes_no_number(name, seed):
    exhibit = EXHIBITS[name]
    (right, *weights), (faulty, *others) = (
        [tower, *properties.run(tower, np.random.default_rng(seed), **exhibit.flags)]
        for tower in (museum.built(kind, *exhibit.rates) for kind in (exhibit.right, exhibit.faulty))
    )
    assert right.alpha.item() == pytest.approx(faulty.alpha.item(), rel=1e-12)
    assert weights[-1][1]["w"].numpy() == pytest.approx(others[-1][1]["w"].numpy(), rel=1e-9)


@pytest.mark.parametrize("name", UNCUT)
def test_a_missing_cut_is_refused_unless_the_graph_is_retained(name):
    exhibit = EXHIBITS[name]
    with pytest.raises(th.GraphReleasedError):
        list(properties.run(museum.built(exhibit.faulty, *exhibit.rates), np.random.default_rng(0)))


class VFromZero(exhibits.Adam):
    """A rule of the package takes the slope of a root at 0 for 0, so that its v may start there."""

    state = {"m": 0.0, "v": 0.0}


def test_hypergradients_are_right_for_a_wrong_equation():
    rng = np.random.default_rng(0)
    params, losses = properties.start(rng), properties.losses(rng, properties.STEPS)
    for kind in (exhibits.Adam, exhibits.BiasOfOneStep, VFromZero):
        check_hypergradients(museum.built(kind, 0.05, 1e-6), lambda params, step: losses[step](params), params)


@pytest.mark.parametrize("kind", [exhibits.Tower, exhibits.OneLeaf, exhibits.Adam])
def test_what_is_right_by_hand_is_what_the_package_does(kind):
    ours = museum.built(kind, 0.05, 1e-4)
    package = (th.optim.Adam if kind is exhibits.Adam else th.optim.SGD)(0.05, optimizer=th.optim.SGD(1e-4))
    for _ in properties.run(ours, np.random.default_rng(1)):
        pass
    for _ in properties.run(package, np.random.default_rng(1)):
        pass
    assert ours.hyperparameters == pytest.approx({name: package.hyperparameters[name] for name in ours.hyperparameters})


@pytest.mark.parametrize("name", EXHIBITS)
def test_the_card_shows_the_faulty_line_beside_the_right_one(name):
    lines = museum.card(name).splitlines()
    assert any(line.startswith("- ") for line in lines) and any(line.startswith("+ ") for line in lines)


def test_the_page_has_a_section_for_each_exhibit_in_order():
    numbered = re.findall(r"^## (\d+)\. .*?^print\(card\(\"(.+?)\"\)\)$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert numbered == [(str(n), name) for n, name in enumerate(EXHIBITS, start=1)]
