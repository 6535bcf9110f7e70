"""The networks as a user of PyTorch would write them, with tinyhyper's first weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from ..networks import SYMBOLS, Network
from ..problems import Arrays
from . import arrays


class Block(nn.Module):
    """A residual block, with the shortcut without parameters."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.stride, self.added = stride, outputs - inputs

    def forward(self, x: Any) -> Any:
        hidden = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        if self.added:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.added))
        return F.relu(hidden + x)


class ResNet20(nn.Module):
    """He et al. (2016), section 4.2."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        inputs = 16
        for stage, outputs in enumerate((16, 32, 64), start=1):
            blocks = nn.Module()
            for number in range(1, 4):
                stride = 2 if stage > 1 and number == 1 else 1
                blocks.add_module(f"block{number}", Block(inputs, outputs, stride))
                inputs = outputs
            self.add_module(f"stage{stage}", blocks)
        self.linear = nn.Linear(inputs, 10)

    def forward(self, x: Any) -> Any:
        x = F.relu(self.norm(self.conv(x)))
        for stage in (self.stage1, self.stage2, self.stage3):
            for block in stage.children():
                x = block(x)
        return self.linear(x.mean((2, 3)))


class CharLSTM(nn.Module):
    """An embedding, two layers of LSTM of 128 with one bias each, as tinyhyper has it, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(SYMBOLS, 128)
        self.lstm = nn.LSTM(128, 128, 2)
        self.linear = nn.Linear(128, SYMBOLS)
        for layer in range(2):
            name = f"bias_hh_l{layer}"
            delattr(self.lstm, name)
            self.lstm.register_buffer(name, torch.zeros(4 * 128))

    def forward(self, ids: Any) -> Any:
        # The published package puts new tensors in place of the weights; the layer keeps a list of the old ones.
        self.lstm._flat_weights = [getattr(self.lstm, name) for name in self.lstm._flat_weights_names]
        return self.linear(self.lstm(self.embedding(ids))[0])


PARTS = {"weight_ih_l": "weight", "weight_hh_l": "recurrent", "bias_ih_l": "bias"}


class Model(nn.Module):
    """A network with its data; `channels_last` is for the memory of images."""

    def __init__(self, network: Network, channels_last: bool = False) -> None:
        super().__init__()
        self.network = network
        images = network.name == "resnet20"
        self.inner = ResNet20() if images else CharLSTM()
        weights = network.weights()
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                parameter.copy_(theirs(torch.tensor(weights[self.ours(name)]), name))
        inputs, targets = map(torch.tensor, network.data())
        self.inputs, self.targets = (inputs.permute(0, 3, 1, 2) if images else inputs), targets.flatten()
        if images:
            memory = torch.channels_last if channels_last else torch.contiguous_format
            self.inputs = self.inputs.contiguous(memory_format=memory)
            self.inner.to(memory_format=memory)

    def loss(self) -> Any:
        """The cross-entropy with the weights as they are."""
        logits = self.inner(self.inputs)
        return F.cross_entropy(logits.reshape(len(self.targets), -1), self.targets)

    def ours(self, name: str) -> str:
        """What tinyhyper calls a parameter."""
        *place, last = name.removeprefix("inner.").split(".")
        if place == ["lstm"]:
            last = f"layer{last[-1]}.{PARTS[last[:-1]]}"
        return ".".join([self.network.name, *place, last])

    def weights(self, parameters: Any) -> Arrays:
        """Named parameters with tinyhyper's names and axes."""
        return arrays({self.ours(name): mine(p.detach(), name).numpy() for name, p in parameters})


def theirs(weight: torch.Tensor, name: str) -> torch.Tensor:
    """A weight of tinyhyper, whose outputs are its last axis, with PyTorch's axes."""
    if "embedding" in name:
        return weight
    return weight.permute(3, 2, 0, 1) if weight.ndim == 4 else weight.T if weight.ndim == 2 else weight


def mine(weight: torch.Tensor, name: str) -> torch.Tensor:
    """And back."""
    if "embedding" in name:
        return weight
    return weight.permute(2, 3, 1, 0) if weight.ndim == 4 else weight.T if weight.ndim == 2 else weight
