"""A small smooth model in float64 or float32, for the tests of towers; and the model of the recorded towers."""

import numpy as np

import tinyhyper as th


def make_params(rng, dtype=np.float64):
    return {
        "w": th.tensor(rng.standard_normal((3, 2)).astype(dtype), requires_grad=True),
        "b": th.tensor(rng.standard_normal(2).astype(dtype), requires_grad=True),
    }


def loss_of(params, x):
    """A small smooth loss in which every weight matters."""
    return th.sum(th.square(th.tanh(x @ params["w"] + params["b"]) - 0.3))


def recorded_loss(params, x, y):
    """The model of the recorded towers."""
    hidden = th.tanh(x @ params["layer1.weight"].T + params["layer1.bias"])
    return th.cross_entropy(th.tanh(hidden @ params["layer2.weight"].T + params["layer2.bias"]), y)
