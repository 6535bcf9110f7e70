"""A gradient has its tensor's dtype, whatever somebody has put into `.grad` or passes as a cotangent."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinyhyper as th
from tinyhyper.optim import SGD, Adam

FLOATS = st.sampled_from([np.float32, np.float64])


def leaf(dtype=np.float64):
    return th.tensor(np.array([1.0, -2.0], dtype), requires_grad=True)


@pytest.mark.slow
@given(weight=FLOATS, scale=FLOATS, clip=st.sampled_from([None, 0.3]), steps=st.integers(1, 3))
def test_a_step_by_a_scaled_gradient_keeps_the_weight_s_dtype(weight, scale, clip, steps):
    """A gradient in another float dtype does what the same gradient does in the weight's own."""
    for make in (SGD, Adam):
        params, twins = {"w": leaf(weight)}, {"w": leaf(weight)}
        optimizers = [make(0.1, optimizer=SGD(1e-3), clip_norm=clip) for _ in range(2)]
        for _ in range(steps):
            for p, optimizer in zip((params, twins), optimizers):
                th.sum(p["w"] * p["w"]).backward()
                p["w"].grad = p["w"].grad * scale(0.25)
                if p is twins:
                    p["w"].grad = p["w"].grad.astype(weight)
                optimizer.step(p)
        assert params["w"].dtype == weight
        np.testing.assert_array_equal(params["w"].data, twins["w"].data)
        assert optimizers[0].hyperparameters == optimizers[1].hyperparameters


@given(weight=FLOATS, kept=FLOATS)
def test_gradients_accumulate_in_the_tensor_s_dtype(weight, kept):
    w = leaf(weight)
    middle = (w * 1.0).retain_grad()
    w.grad, middle.grad = th.tensor(np.full(2, 0.5, kept)), th.tensor(np.full(2, 0.25, kept))
    th.sum(middle * middle).backward()
    assert w.grad.dtype == middle.grad.dtype == weight
    assert w.grad.data.tolist() == [2.5, -3.5] and middle.grad.data.tolist() == [2.25, -3.75]


@given(weight=FLOATS, kept=FLOATS)
def test_a_recorded_gradient_keeps_its_graph_when_it_is_cast(weight, kept):
    w = leaf(weight)
    th.sum(w**3.0).backward(create_graph=True)
    w.grad = w.grad * kept(2.0)
    th.sum(w**3.0).backward(create_graph=True)  # 2 * 3 w^2 + 3 w^2
    (second,) = th.gradients(th.sum(w.grad), w)
    assert w.grad.dtype == second.dtype == weight
    np.testing.assert_allclose(second.data, [18.0, -36.0], rtol=1e-6)


@pytest.mark.parametrize("watched", [False, True])
@given(dtype=FLOATS)
def test_a_hyperparameter_s_gradient(watched, dtype):
    params, optimizer = {"w": leaf(np.float32)}, SGD(0.1, optimizer=SGD(0.01))
    th.sum(params["w"] * params["w"]).backward()
    optimizer.step(params)
    th.sum(params["w"] * params["w"]).backward()
    optimizer.parameters["alpha"].grad = th.tensor(dtype(0.5))
    if watched:
        with th.record():
            optimizer.step(params)
    else:
        optimizer.step(params)
    assert optimizer.parameters["alpha"].dtype == np.float64
    assert optimizer.hyperparameters["alpha"] == pytest.approx(0.095)


COTANGENTS = {
    "backward": lambda c: (y := leaf() * 1.0).retain_grad().backward(c) or y.grad,
    "gradients": lambda c: th.gradients(y := leaf() * 1.0, y, c)[0],
    "several": lambda c: th.gradients([y := leaf() * 1.0], [y], [c])[0],
    "vjp": lambda c: th.vjp(lambda x: x * 1.0, leaf())[1](c)[0],
    "jvp": lambda c: th.jvp(lambda x: x * 1.0, (leaf(),), (c,))[1],
    "hvp": lambda c: th.hvp(lambda x: th.sum(x * x) / 2.0, (leaf(),), (c,))[0],
}


@pytest.mark.parametrize("call", COTANGENTS)
def test_cotangents_of_integers_are_cast_and_of_booleans_refused(call):
    for cotangent in (np.array([1, 0]), th.tensor([1, 0]), np.array([1, 0], np.float32)):
        found = COTANGENTS[call](cotangent)
        assert found.dtype == np.float64 and found.data.tolist() == [1.0, 0.0]
    for cotangent in (np.array([True, False]), th.tensor([True, False])):
        with pytest.raises(th.DtypeError, match="bool"):
            COTANGENTS[call](cotangent)


def test_a_flat_function_refuses_booleans_too():
    with pytest.raises(th.DtypeError, match="bool"):
        th.jvp(lambda x: 1.0, (1.0,), (True,))
