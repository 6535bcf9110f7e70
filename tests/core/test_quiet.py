"""Infinities and NaN are values like others: no operation warns or raises for them, whatever NumPy is told to do."""

import threading

import numpy as np
import pytest
from backends import elementwise_backend

import tinyhyper as th
from tinyhyper.core.tape import quietly

HUGE = np.full((4, 3), 3e38, np.float32)
CASES = {
    "overflow": lambda x: x * 10,
    "division": lambda x: x / 0,
    "nothing by nothing": lambda x: (x - x) / (x - x),
    "a logarithm": lambda x: th.log(-x),
    "a power": lambda x: x**3,
    "a sum": th.sum,
    "a variance": th.var,
    "a logarithm of a sum": lambda x: th.logsumexp(x * 10),
    "a softmax": lambda x: th.softmax(x * 10),
    "a loss": lambda x: th.cross_entropy(x * 10, np.zeros(4, int)),
    "a product": lambda x: x @ th.transpose(x),
    "a layer": lambda x: th.linear(x, th.transpose(x), 1.0, th.tanh),
    "a layer of nothing by infinity": lambda x: th.linear(x * 10, th.transpose(x - x), None, th.tanh),
    "the derivative of a product": lambda x: th.gradients(th.transpose(x) @ x, x, np.full((3, 3), np.inf, np.float32)),
    "gradients added up": lambda x: th.gradients(x + x + x, x, HUGE),
    "a sum in a derivative": lambda x: th.gradients(x * th.tensor(np.ones(3, np.float32), requires_grad=True), x, HUGE),
    "a derivative summed down": lambda x: _by_row(x),
    "a step": lambda x: _step(x),
    "a fused function": th.fuse(lambda x: th.exp(x) - th.exp(x)),
}


def _by_row(x):
    row = th.tensor(np.ones(3, np.float32), requires_grad=True)
    return th.gradients(x * row, row, np.ones((4, 3), np.float32))[0]


def _step(x):
    params = {"w": x, "b": th.tensor(np.ones(3, np.float32), requires_grad=True)}
    optimizer = th.optim.Adam(1e30, optimizer=th.optim.SGD(1e30))
    for _ in range(2):
        th.sum(params["w"] * params["w"] + params["b"]).backward()
        optimizer.step(params)
    return params


@pytest.mark.parametrize("backend", ["numpy", "numba", "auto"])
@pytest.mark.parametrize("name", CASES)
def test_nothing_warns_or_raises(name, backend):
    x = th.tensor(HUGE, requires_grad=True)
    before = elementwise_backend()
    elementwise_backend(backend)
    try:
        with np.errstate(all="raise"):
            assert CASES[name](x) is not None
            assert np.geterr()["over"] == "raise"  # what the user chose still holds
    finally:
        elementwise_backend(before)


def test_from_within_another_and_from_every_thread():
    def inner():
        return quietly(np.multiply, HUGE, HUGE).max()

    found = []
    threads = [threading.Thread(target=lambda: found.append(quietly(inner))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [np.inf] * 4
