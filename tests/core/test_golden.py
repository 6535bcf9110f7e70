"""Every recorded tower is followed at every step.

The records are float64 runs of the optimizer package that the paper's authors published (version 1.0, on PyTorch):
losses, every level's hyperparameters in their internal coordinates after each step, and the final weights.
"""

import json

import numpy as np
import pytest
from golden_towers import GOLDEN, follow, towers
from small_model import recorded_loss

import tinyhyper as th
from tinyhyper.optim import SGD, AdaGrad, Adam, Optimizer, RMSProp

TOWERS = towers(SGD, AdaGrad, RMSProp, Adam)


def test_every_record_has_a_tower():
    files = {entry["file"] for entry in json.loads((GOLDEN / "manifest.json").read_text())}
    assert files == {f"{name}.npz" for name in TOWERS}


@pytest.mark.parametrize("plain", [False, True], ids=["fused", "plain"])
@pytest.mark.parametrize("name", TOWERS)
def test_tower_follows_its_record(name, plain, monkeypatch):
    """By each rule as one node, and by the rule itself, an operation a node, as the core has it."""
    if plain:
        monkeypatch.delattr(Optimizer, "_trace")
    follow(np.load(GOLDEN / f"{name}.npz"), TOWERS[name](), th.tensor, recorded_loss)


@pytest.mark.parametrize("name", ["sgd_sgd", "adam_sgd"])
def test_a_wrong_step_size_is_noticed(name):
    """The comparison itself can fail: a top level that is off by one part in a million is caught."""
    optimizer = TOWERS[name]()
    top = optimizer.levels[-1]
    top.parameters["alpha"] = th.tensor(top.parameters["alpha"].item() * (1 + 1e-6))
    with pytest.raises(AssertionError):
        follow(np.load(GOLDEN / f"{name}.npz"), optimizer, th.tensor, recorded_loss)
