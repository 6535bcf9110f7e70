"""Every recorded tower is followed at every step.

The records are float64 runs of the optimizer package that the paper's authors published (version 1.0, on PyTorch):
losses, every level's hyperparameters in their internal coordinates after each step, and the final weights.
"""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import tinyhyper as th
from tinyhyper.optim import SGD, AdaGrad, Adam, RMSProp

GOLDEN = Path(__file__).parent / "golden"


def tower_of_ten():
    """SGD ten levels high: 0.01 at the bottom, 0.001 at each level above."""
    optimizer = None
    for _ in range(9):
        optimizer = SGD(0.001, optimizer=optimizer)
    return SGD(0.01, optimizer=optimizer)


TOWERS = {
    "sgd": lambda: SGD(0.1),
    "sgd_sgd": lambda: SGD(0.1, optimizer=SGD(0.01)),
    "sgdmom_sgd": lambda: SGD(0.05, 0.9, optimizer=SGD(0.001)),
    "sgd_sgdmom_sgd": lambda: SGD(0.05, optimizer=SGD(0.01, mu=0.5, optimizer=SGD(0.001))),
    "sgd_x10": tower_of_ten,
    "adam_sgd": lambda: Adam(0.01, 0.9, 0.999, optimizer=SGD(1e-4)),
    "adam_adam": lambda: Adam(0.01, optimizer=Adam(0.001)),
    "adamalpha_adamalpha": lambda: Adam(0.01, tune=("alpha",), optimizer=Adam(0.001, tune=("alpha",))),
    "adagrad_sgd": lambda: AdaGrad(0.1, optimizer=SGD(0.01)),
    "adagrad_adagrad": lambda: AdaGrad(0.1, optimizer=AdaGrad(0.01)),
    "rmsprop_rmsprop": lambda: RMSProp(0.01, 0.99, optimizer=RMSProp(1e-4, 0.99)),
    "rmspropalpha_rmspropalpha": lambda: RMSProp(
        0.01, 0.9, tune=("alpha",), optimizer=RMSProp(1e-4, 0.9, tune=("alpha",))
    ),
    "sgdperparam_sgd": lambda: SGD(
        {"layer1.weight": 0.1, "layer1.bias": 0.05, "layer2.weight": 0.02}, optimizer=SGD(0.001)
    ),
}


def loss_of(params, x, y):
    """The recorded model: tanh on both layers, then mean cross-entropy. Weights are (out, in)."""
    hidden = th.tanh(x @ params["layer1.weight"].T + params["layer1.bias"])
    return th.cross_entropy(th.tanh(hidden @ params["layer2.weight"].T + params["layer2.bias"]), y)


def follow(record, optimizer, close):
    """Run the tower over the record's batches and hold every number against it."""
    params = {k[5:]: th.tensor(record[k], requires_grad=True) for k in record.files if k.startswith("init.layer")}
    for key in record.files:
        if match := re.fullmatch(r"init\.level(\d+)\.(.+)", key):
            close(optimizer.levels[int(match[1])].parameters[match[2]].item(), record[key], key)
    for t, (x, y) in enumerate(zip(record["X"], record["y"])):
        loss = loss_of(params, th.tensor(x), y)
        close(loss.item(), record["trace.loss"][t], f"loss at step {t}")
        loss.backward()
        optimizer.step(params)
        for key in record.files:
            if match := re.fullmatch(r"trace\.level(\d+)\.(.+)", key):
                close(optimizer.levels[int(match[1])].parameters[match[2]].item(), record[key][t], f"{key} at step {t}")
    for name, value in params.items():
        close(value.data, record[f"final.{name}"], name)


def close(got, expected, what):
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=0, err_msg=what)


def test_every_record_has_a_tower():
    files = {entry["file"] for entry in json.loads((GOLDEN / "manifest.json").read_text())}
    assert files == {f"{name}.npz" for name in TOWERS}


@pytest.mark.parametrize("name", TOWERS)
def test_tower_follows_its_record(name):
    follow(np.load(GOLDEN / f"{name}.npz"), TOWERS[name](), close)


@pytest.mark.parametrize("name", ["sgd_sgd", "adam_sgd"])
def test_a_wrong_step_size_is_noticed(name):
    """The comparison itself can fail: a top level that is off by one part in a million is caught."""
    optimizer = TOWERS[name]()
    top = optimizer.levels[-1]
    top.parameters["alpha"] = th.tensor(top.parameters["alpha"].item() * (1 + 1e-6))
    with pytest.raises(AssertionError):
        follow(np.load(GOLDEN / f"{name}.npz"), optimizer, close)
