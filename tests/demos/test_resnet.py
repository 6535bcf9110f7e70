"""Residual networks: what a block is, the numbers of the paper, and PyTorch's values."""

from array import array
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from factory import SEEDS
from hypothesis import given
from hypothesis import strategies as st

import tinyhyper as th

STORED = Path(__file__).parents[1] / "reference" / "resnet.npz"  # np.savez_compressed(STORED, **by_pytorch()) writes it


def _network():
    return th.nn.ResNet(8, classes=4, widths=(2, 2, 3))


@pytest.mark.parametrize("kind", [np.array, list, lambda _: range(2, 5), np.uint8, lambda widths: array("i", widths)])
def test_widths_are_any_sequence_of_whole_numbers(kind):
    assert repr(th.nn.ResNet(8, widths=kind((2, 3, 4)))) == repr(th.nn.ResNet(8, widths=(2, 3, 4)))


@pytest.mark.parametrize("widths", [
    np.array([2, 3]), np.array([[2, 3, 4]]), np.array(2), np.array([2.0, 3.0, 4.0]), {2, 3, 4}, "234", None, 16,
])  # fmt: skip
def test_widths_that_are_no_three_whole_numbers_are_refused(widths):
    with pytest.raises(th.ArgumentError, match="ResNet: (each of the )?widths"):
        th.nn.ResNet(8, widths=widths)


@given(
    inputs=st.integers(1, 3), added=st.integers(0, 2), stride=st.integers(1, 2), size=st.integers(2, 5), seed=SEEDS
)  # fmt: skip
def test_a_block_of_zeros_is_its_shortcut(inputs, added, stride, size, seed):
    """With weights of 0 nothing is left but relu(x), at every stride-th place, with channels of zeros at the end."""
    x = np.random.default_rng(seed).standard_normal((2, size, size, inputs))
    block = th.nn.ResidualBlock("block", inputs, inputs + added, stride)
    params = block.parameters(dtype=np.float64)
    for name in params:
        if "conv" in name:
            params[name] = params[name] * 0.0
    out = block(params, x).data
    expected = np.maximum(x[:, ::stride, ::stride], 0)
    assert out.shape == (*expected.shape[:3], inputs + added)
    np.testing.assert_array_equal(out[..., :inputs], expected)
    assert not out[..., inputs:].any()


@given(seed=SEEDS)
def test_a_block_adds_its_convolutions_to_its_shortcut(seed):
    """Written down layer by layer."""
    rng = np.random.default_rng(seed)
    block = th.nn.ResidualBlock("b", 2, 3, 2)
    params = {name: th.tensor(rng.standard_normal(p.shape)) for name, p in block.parameters().items()}
    x = rng.standard_normal((3, 4, 4, 2))

    def normalized(x, name):
        out = (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 1e-5)
        return out * params[f"{name}.weight"].data + params[f"{name}.bias"].data

    hidden = th.conv2d(x, params["b.conv1.weight"], stride=2, padding=1).data
    hidden = np.maximum(normalized(hidden, "b.norm1"), 0)
    hidden = normalized(th.conv2d(hidden, params["b.conv2.weight"], padding=1).data, "b.norm2")
    shortcut = np.concatenate([x[:, ::2, ::2], np.zeros((3, 2, 2, 1))], -1)
    np.testing.assert_allclose(block(params, x).data, np.maximum(hidden + shortcut, 0), rtol=1e-10, atol=1e-10)


def test_resnet20_has_the_parameters_of_the_paper():
    """0.27 million: 19 convolutions without a bias, as many normalizations, and a linear layer."""
    model = th.nn.resnet20()
    params = model.parameters()
    assert sum(param.size for param in params.values()) == 269_722
    assert sum(name.endswith(".conv.weight") or ".conv1." in name or ".conv2." in name for name in params) == 19
    assert params["resnet20.linear.weight"].shape == (64, 10)
    assert params["resnet20.stage3.block1.conv1.weight"].shape == (3, 3, 32, 64)
    assert len(model.buffers) == 2 * 19
    assert th.nn.resnet20(100).parameters()["resnet20.linear.bias"].shape == (100,)


@pytest.mark.parametrize("depth, blocks", [(8, 3), (14, 6), (20, 9), (32, 15)])
def test_depth_counts_the_layers_with_weights(depth, blocks):
    model = th.nn.ResNet(depth, widths=(1, 1, 1))
    assert len(model.blocks) == blocks
    assert sum(param.ndim > 1 for param in model.parameters().values()) == depth
    assert model(model.parameters(), np.ones((2, 8, 8, 3), np.float32)).shape == (2, 10)


@pytest.mark.parametrize("training", [True, False])
def test_float32_stays_float32(training):
    model = _network().train(training)
    params = model.parameters()
    loss = th.cross_entropy(model(params, np.random.default_rng(0).random((4, 8, 8, 3), np.float32)), [0, 1, 2, 3])
    loss.backward()
    assert loss.dtype == np.float32
    for name, param in params.items():
        assert param.grad is not None and param.grad.dtype == np.float32, name


def test_second_derivatives_are_slopes_of_the_gradient():
    """The derivative of the gradient along random directions, in training."""
    rng = np.random.default_rng(3)
    model = th.nn.ResidualBlock("block", 2, 3, 2)
    start = {name: rng.standard_normal(p.shape) for name, p in model.parameters().items()}
    x, target = rng.standard_normal((3, 4, 4, 2)), rng.standard_normal((3, 2, 2, 3))
    directions = {name: rng.standard_normal(value.shape) for name, value in start.items()}

    def gradient(offset, create_graph=False):
        params = {
            name: th.tensor(value + offset * directions[name], requires_grad=True) for name, value in start.items()
        }
        loss = th.sum((model(params, x) - target) ** 2.0)
        return params, th.gradients(loss, list(params.values()), create_graph=create_graph)

    params, grads = gradient(0.0, create_graph=True)
    along = sum(th.sum(grad * directions[name]) for name, grad in zip(params, grads))
    found = th.gradients(along, list(params.values()))
    step = 1e-5
    ahead, behind = gradient(step)[1], gradient(-step)[1]
    for name, product, one, other in zip(params, found, ahead, behind):
        expected = (one.data - other.data) / (2 * step)
        np.testing.assert_allclose(product.data, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max(), err_msg=name)


def test_a_small_network_learns_its_batch():
    rng = np.random.default_rng(0)
    model = th.nn.ResNet(8, classes=3, widths=(4, 4, 8))
    params, optimizer = model.parameters(1), th.optim.Adam(0.01)
    images, labels = rng.standard_normal((12, 8, 8, 3)).astype(np.float32), np.arange(12) % 3
    losses = []
    for _ in range(25):
        loss = th.cross_entropy(model(params, images), labels)
        loss.backward()
        optimizer.step(params)
        losses.append(loss.item())
    assert losses[-1] < 0.2 < 0.8 < losses[0]


def test_eval_gives_an_image_the_same_logits_in_any_batch():
    rng = np.random.default_rng(0)
    model = _network()
    params, images = model.parameters(dtype=np.float64), rng.standard_normal((6, 8, 8, 3))
    model(params, images)
    model.eval()
    np.testing.assert_allclose(model(params, images).data[2:3], model(params, images[2:3]).data, rtol=1e-10)
    other = _network()
    other.load_buffers(model.buffers)
    assert np.array_equal(other.eval()(params, images).data, model(params, images).data)


# ---- Against PyTorch


def _inputs():
    rng = np.random.default_rng(0)
    given = {"x": rng.standard_normal((3, 8, 8, 3)), "cotangent": rng.standard_normal((3, 4))}
    for name, param in _network().parameters(1, np.float64).items():
        given[name] = param.data + 0.1 * rng.standard_normal(param.shape)
    return given


def by_pytorch():
    """Inputs, PyTorch's values and gradients: a batch in training, and once more in eval."""
    import torch
    from torch.nn import functional as F

    given = _inputs()
    leaves = {
        name: torch.tensor(value).permute(3, 2, 0, 1).contiguous() if "conv" in name else torch.tensor(value)
        for name, value in given.items()
    }
    leaves["x"] = torch.tensor(given["x"]).permute(0, 3, 1, 2).contiguous()
    for leaf in leaves.values():
        leaf.requires_grad_()
    buffers = {}

    def normalized(x, name, training):
        running = buffers.setdefault(name, (torch.zeros(x.shape[1]).double(), torch.ones(x.shape[1]).double()))
        return F.batch_norm(x, *running, leaves[f"{name}.weight"], leaves[f"{name}.bias"], training)

    def network(training):
        x = F.conv2d(leaves["x"], leaves["resnet.conv.weight"], padding=1)
        x = F.relu(normalized(x, "resnet.norm", training))
        for stage in (1, 2, 3):
            block, stride = f"resnet.stage{stage}.block1", 1 if stage == 1 else 2
            out = F.conv2d(x, leaves[f"{block}.conv1.weight"], stride=stride, padding=1)
            out = F.relu(normalized(out, f"{block}.norm1", training))
            out = F.conv2d(out, leaves[f"{block}.conv2.weight"], padding=1)
            out = normalized(out, f"{block}.norm2", training)
            x = x[:, :, ::stride, ::stride]
            x = F.relu(out + F.pad(x, (0, 0, 0, 0, 0, out.shape[1] - x.shape[1])))
        return x.mean((2, 3)) @ leaves["resnet.linear.weight"] + leaves["resnet.linear.bias"]

    found = {f"in.{name}": value for name, value in given.items()}
    for training in (True, False):
        case = "train" if training else "eval"
        for leaf in leaves.values():
            leaf.grad = None
        out = network(training)
        out.backward(torch.tensor(given["cotangent"]))
        found[f"{case}.out"] = out.detach().numpy()
        for name, leaf in leaves.items():
            if name != "cotangent":
                order = (2, 3, 1, 0) if "conv" in name else (0, 2, 3, 1) if name == "x" else range(leaf.ndim)
                found[f"{case}.{name}"] = leaf.grad.permute(*order).numpy().copy()
    return found


def test_a_network_matches_pytorch():
    stored = by_pytorch() if find_spec("torch") else dict(np.load(STORED))
    given = {name.removeprefix("in."): stored.pop(name) for name in [*stored] if name.startswith("in.")}
    model = _network()
    for case in ("train", "eval"):
        leaves = {name: th.tensor(value, requires_grad=True) for name, value in given.items() if name != "cotangent"}
        out = model.train(case == "train")(leaves, leaves["x"])
        out.backward(given["cotangent"])
        np.testing.assert_allclose(out.data, stored.pop(f"{case}.out"), rtol=1e-10, atol=1e-10)
        for name, leaf in leaves.items():
            expected = stored.pop(f"{case}.{name}")
            np.testing.assert_allclose(leaf.grad.data, expected, rtol=1e-10, atol=1e-10, err_msg=f"{case} {name}")
    assert not stored


# ---- Errors


@pytest.mark.parametrize("depth", [2, 7, 9, 18])
def test_a_wrong_depth_is_refused(depth):
    with pytest.raises(th.ArgumentError, match=f"8, 14, 20.*not {depth}"):
        th.nn.ResNet(depth)


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 3, 8, 8), (2, 8, 8, 1)])
def test_what_are_no_images_is_refused(shape):
    model = _network()
    with pytest.raises(th.ShapeError, match=r"images must have shape \(n, height, width, 3\), not"):
        model(model.parameters(), np.ones(shape, np.float32))
