"""Recordings that several tests of the inspector ask: of a loop, of a tower, of a step written by hand."""

import warnings

import numpy as np
from hypothesis import strategies as st

import tinyhyper as th


def squares(params):
    return sum(th.sum(w**2) for w in params.values())


def trained(optimizer, steps=2, params=None, loss=squares, ghosts=False, **how):
    """A loop of steps. optimizer: or its text.  params: values by name.  loss: of the params.  how: for backward()."""
    params = {name: th.tensor(w, requires_grad=True) for name, w in (params or {"w": [1.0, -2.0]}).items()}
    optimizer = th.optim.from_string(optimizer) if isinstance(optimizer, str) else optimizer
    with th.record(ghosts) as tape:
        for _ in range(steps):
            loss(params).backward(**how)
            optimizer.step(params)
    return tape


def skipping(text="sgd(0.1)/sgd(0.01)", factors=(1.0, np.nan, 1.0, 1.0), params=None, ghosts=False):
    """A run of which the steps are skipped whose factor is not finite, and a loss at its end."""
    params = {name: th.tensor(w, requires_grad=True) for name, w in (params or {"w": [1.0, -2.0], "b": 0.5}).items()}
    optimizer = th.optim.from_string(text.replace(")", ", on_nonfinite=skip)", 1))
    with th.record(ghosts) as tape, warnings.catch_warnings():
        warnings.simplefilter("ignore", th.AnomalyWarning)
        for factor in factors:
            (squares(params) * factor).backward()
            optimizer.step(params)
        squares(params).backward()
    return tape


def penalized(steps=3, horizon=3, ghosts=False, how="log"):
    """A tower whose loss reads a number outside the optimizer. how: its coordinate."""
    params = {"w": th.tensor([1.0, -2.0], requires_grad=True)}
    outside = {"outside": {"decay": 0.1}, "coordinates": {"decay": how}}
    optimizer = th.optim.SGD(0.05, horizon=horizon, **outside, optimizer=th.optim.SGD(0.1))
    with th.record(ghosts) as tape:
        for n in range(steps):
            loss = th.mean(th.tanh(params["w"])) + optimizer.outside["decay"] * th.sum(params["w"] ** 2)
            loss.backward(create_graph=n % horizon > 0)
            optimizer.step(params)
    return tape


def tower(text="sgd/sgd", steps=2, parameters=1):
    def loss(params):
        total = th.tensor(0.0)
        for w in params.values():
            total = total + th.mean(th.tanh(w) ** 2)
        return total

    generator = np.random.default_rng(0)
    return trained(text, steps, {f"w{n}": generator.normal(size=3) for n in range(parameters)}, loss)


def step(w, alpha, tape, *, cut_weights=True, cut_gradient=True):
    """One optimizer step written by hand; the tape is told what the tensors are."""
    tape.step()
    tape.label(w, "w", "weights", 0)
    tape.label(w.grad, "w", "gradient", 0)
    tape.label(alpha, "alpha", "hyperparameter", 0)
    old = w.detach("weights") if cut_weights else w
    gradient = w.grad.detach("gradient") if cut_gradient else w.grad
    new = (old - alpha * gradient).retain_grad()
    tape.label(new, "w", "weights", 0)
    return new


def by_hand(steps=2, create_graph=False, **cuts):
    w = th.tensor([1.0, 2.0], requires_grad=True)
    alpha = th.tensor(0.1, requires_grad=True)
    with th.record() as tape:
        for _ in range(steps):
            th.sum(w * w).backward(create_graph=create_graph, retain_graph=True)
            w = step(w, alpha, tape, **cuts)
    return tape


def crossing():
    """A graph in which a value is read both with a cut and without, and another runs past both."""
    a, b = th.tensor([1.0, 2.0], requires_grad=True), th.tensor(3.0, requires_grad=True)
    with th.record(ghosts=True) as tape:
        y = th.tanh(a * b)
        th.sum(y * y.detach("held") + a).backward()
    return tape


LEVELS = ("sgd(0.05)", "sgd(0.05, mu=0.5)", "adagrad(0.05)", "rmsprop(0.05)", "adam(0.05)", "adam-alpha(0.02)")
stacks = st.lists(st.sampled_from(LEVELS), min_size=1, max_size=3).map("/".join)


def run(stack, steps=3, seed=0, ghosts=True, create_graph=False):
    """A tower over two weights that meet in the loss; the graphs are kept, so that what is not cut can be followed."""
    generator = np.random.default_rng(seed)
    params = {
        "w": th.tensor(generator.normal(size=2), requires_grad=True),
        "b": th.tensor(generator.normal(), requires_grad=True),
    }
    optimizer = th.optim.from_string(stack)
    with th.record(ghosts=ghosts) as tape:
        for _ in range(steps):
            loss = th.sum(th.tanh(params["w"] * params["b"]) ** 2) + th.mean(params["w"] ** 2) * 0.3
            loss.backward(retain_graph=True, create_graph=create_graph)
            optimizer.step(params)
    return tape, params, optimizer


def overlong():
    """An operation whose equation would have 4,096 factors."""

    @th.fuse
    def long(x):
        for _ in range(12):
            x = x * x
        return x

    x = th.tensor(0.5, requires_grad=True)
    with th.record() as tape:
        long(x).backward()
    return tape
