"""A long run: whether memory stays flat and a step takes as long in the end as in the beginning, and whether ten runs
of a tenth, each in a process of its own and joined to the next by a checkpoint, end where one ends that never stopped.
`python -m demos soak` prints a table and draws it; --quick takes about a minute.

Both ends are saved, and the files must be the same, byte by byte: weights, states, hyperparameters, counts of steps,
the generator of the batches, and what the next hypergradients go back through.
"""

from __future__ import annotations

import gc
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

import tinyhyper as th
from tinyhyper.core.tape import Node
from tinyhyper.optim import SGD, Adam, Optimizer

from . import output
from .bench.worker import status
from .report import COLOURS, png, tidy
from .settings import Settings, shared

STEPS, QUICK = 1_000_000, 20_000
LEGS = 10  # the runs that are joined
SAMPLES = 100  # of the run that does not stop
SHOWN = (0.05, 0.25, 0.5, 0.75, 1.0)  # the parts of the run that the table tells of
INPUTS, HIDDEN, BATCH = 4, 8, 8


options = shared("seed", "quick", "out")


class Sample(NamedTuple):
    """After so many steps: memory in bytes, nodes and tensors alive, and microseconds a step since the last sample."""

    step: int
    bytes: int
    nodes: int
    tensors: int
    microseconds: float


class Soaked:
    """A small network that learns a noisy function under Adam, whose hyperparameters are moved by SGD."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.params = {
            "hidden": th.tensor(rng.standard_normal((INPUTS, HIDDEN)), requires_grad=True),
            "out": th.tensor(rng.standard_normal(HIDDEN), requires_grad=True),
        }
        self.optimizer: Optimizer = Adam(1e-3, optimizer=SGD(1e-6))
        self.rng = rng

    def step(self) -> None:
        """One step on a batch of its own."""
        x = self.rng.standard_normal((BATCH, INPUTS))
        y = np.sin(x[:, 0]) + 0.1 * self.rng.standard_normal(BATCH)
        loss = th.mean(th.square(th.tanh(th.tensor(x) @ self.params["hidden"]) @ self.params["out"] - th.tensor(y)))
        loss.backward()
        self.optimizer.step(self.params)

    def save(self, path: Path) -> None:
        """All that the next step depends on."""
        th.save(path, self.params, self.optimizer, rng=self.rng.bit_generator.state)

    def load(self, path: Path) -> None:
        """Go on from what was saved."""
        self.params, extra = th.load(path, self.optimizer)
        self.rng.bit_generator.state = extra["rng"]


def leg(seed: int, begin: Path | None, steps: int, end: Path) -> None:
    """A part of the run, from one checkpoint, or the beginning, to the next."""
    run = Soaked(seed)
    if begin is not None:
        run.load(begin)
    for _ in range(steps):
        run.step()
    run.save(end)


def whole(seed: int, steps: int, end: Path) -> list[Sample]:
    """The run without a stop."""
    run, samples = Soaked(seed), []
    every = max(1, steps // SAMPLES)
    for done in tqdm(range(every, steps + 1, every), unit=f" times {every} steps", leave=False, disable=None):
        begun = time.perf_counter()
        for _ in range(every):
            run.step()
        seconds = time.perf_counter() - begun
        held, alive = status("VmRSS"), gc.get_objects()
        nodes, tensors = [sum(issubclass(type(x), kind) for x in alive) for kind in (Node, th.Tensor)]
        del alive
        samples.append(Sample(done, held, nodes, tensors, 1e6 * seconds / every))
    run.save(end)
    return samples


def apart(call: Callable[..., Any], *arguments: Any) -> Any:
    """What a call gives in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(call, *arguments).result()


def soak(seed: int, steps: int) -> tuple[list[Sample], bool, list[str]]:
    """The samples of the long run, whether the short ones have ended at the same bytes, and both towers in the end."""
    with tempfile.TemporaryDirectory() as folder:
        never, joined = Path(folder) / "whole.npz", Path(folder) / "joined.npz"
        samples = apart(whole, seed, steps, never)
        for n in tqdm(range(LEGS), unit="run", leave=False, disable=None):
            apart(leg, seed, joined if n else None, steps // LEGS, joined)
        ends = [Soaked(seed), Soaked(seed)]
        for run, path in zip(ends, (never, joined)):
            run.load(path)
        return samples, never.read_bytes() == joined.read_bytes(), [str(run.optimizer) for run in ends]


def table(samples: list[Sample], same: bool, towers: list[str]) -> str:
    """What was found, in text."""
    lines = [f"{'steps':>9}  {'memory, MB':>10}  {'nodes':>6}  {'tensors':>7}  {'us a step':>9}"]
    for part in SHOWN:
        step, held, nodes, tensors, microseconds = samples[max(0, round(part * len(samples)) - 1)]
        lines.append(f"{step:>9}  {held / 1e6:>10.3f}  {nodes:>6}  {tensors:>7}  {microseconds:>9.1f}")
    grown = samples[-1].bytes - samples[max(0, round(SHOWN[0] * len(samples)) - 1)].bytes
    lines += [
        "",
        f"From {SHOWN[0]:.0%} of the steps on, memory grew by {grown / 1e3:.0f} kB.",
        f"One run ended at {towers[0]}.",
        f"{LEGS} runs joined by checkpoints ended at {'the same bytes' if same else f'OTHER BYTES, {towers[1]}'}.",
    ]
    return "\n".join(lines)


def picture(samples: list[Sample]) -> bytes:
    """A PNG: memory, nodes and tensors alive, and the time of a step, over the steps."""
    figure = Figure(figsize=(12.5, 3.8), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    steps = [sample.step for sample in samples]
    left.plot(steps, [sample.bytes / 1e6 for sample in samples], color=COLOURS[1])
    left.set_ylabel("resident memory, MB")
    for values, name, colour in (
        ([sample.nodes for sample in samples], "nodes", COLOURS[2]),
        ([sample.tensors for sample in samples], "tensors", COLOURS[3]),
    ):
        middle.plot(steps, values, color=colour, label=name)
    middle.set_ylabel("objects alive")
    middle.legend(frameon=False, loc="center right")
    right.plot(steps[1:], [sample.microseconds for sample in samples[1:]], color=COLOURS[4])
    right.set_ylabel("microseconds a step")
    right.set_title("without the first sample, in which kernels are compiled", fontsize=9)
    for axes in (left, middle, right):
        axes.set_ylim(0, 1.1 * axes.get_ylim()[1])
        axes.set_xlabel("steps")
        tidy(axes)
    return png(figure)


def main(settings: Settings) -> int:
    """Run both ways, print a table, write the picture and the numbers. The exit status is 0 if both ended alike."""
    folder = output.prepare(settings.out)
    samples, same, towers = soak(settings.seed, QUICK if settings.quick else STEPS)
    found = {"command": settings.command("soak"), "same": same, "towers": towers}
    text = json.dumps({**found, "samples": [sample._asdict() for sample in samples]}, indent=1)
    contents: dict[str, str | bytes] = {"soak.png": picture(samples), "soak.json": text + "\n"}
    output.finish(table(samples, same, towers), folder, contents)
    return 0 if same else 1
