"""A long run that is replayed: whether memory stays flat and a step takes as long in the end as in the beginning. And
whether ten runs, each in a process of its own and joined to the next by a checkpoint, end where one ends that never
stopped. `python -m demos soak` prints a table and draws it; --quick takes some seconds.

Both ends are saved, and the files must be the same, byte by byte: weights, states, hyperparameters, counts of steps,
the generator of the batches, and what the next hypergradients go back through. A run begins with steps of the eager
engine, so these are replayed exactly.
"""

from __future__ import annotations

import gc
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

import tinyhyper as th
from tinyhyper.core.tape import Node
from tinyhyper.optim import SGD, Adam, Optimizer

from .bench.worker import status
from .shared import output
from .shared.report import COLOURS, png, tidy
from .shared.settings import Settings, shared

STEPS, QUICK = 10_000_000, 200_000
JOINED, QUICK_JOINED = 100_000, 1_000
LEGS = 10  # the runs that are joined
PART = 10_000  # steps, whose batches are drawn at once
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


def loss(params: dict[str, th.Tensor], x: np.ndarray, y: np.ndarray) -> th.Tensor:
    """The mean square of a small network's errors."""
    return th.mean(th.square(th.tanh(x @ params["hidden"]) @ params["out"] - y))


class Soaked:
    """A small network that learns a noisy function under Adam, whose hyperparameters are moved by SGD.

    exact: whether replay is.
    """

    def __init__(self, seed: int, exact: bool) -> None:
        rng = np.random.default_rng(seed)
        self.params = {
            "hidden": th.tensor(rng.standard_normal((INPUTS, HIDDEN)), requires_grad=True),
            "out": th.tensor(rng.standard_normal(HIDDEN), requires_grad=True),
        }
        self.optimizer: Optimizer = Adam(1e-3, optimizer=SGD(1e-6))
        self.rng, self.exact = rng, exact

    @cached_property
    def train(self) -> Any:
        """The step, of what was loaded if anything was."""
        return th.replay(loss, self.params, self.optimizer, exact=self.exact)

    def make(self, steps: int) -> None:
        """Steps on batches of their own."""
        for done in range(0, steps, PART):
            drawn = self.rng.standard_normal((min(PART, steps - done), BATCH, INPUTS + 1))
            x = drawn[..., :INPUTS]
            self.train.over(x, np.sin(x[..., 0]) + 0.1 * drawn[..., INPUTS])

    def save(self, path: Path) -> None:
        """All that the next step depends on."""
        th.save(path, self.params, self.optimizer, rng=self.rng.bit_generator.state)

    def load(self, path: Path) -> None:
        """Go on from what was saved."""
        self.params, extra = th.load(path, self.optimizer)
        self.rng.bit_generator.state = extra["rng"]


def leg(seed: int, begin: Path | None, steps: int, end: Path) -> None:
    """A part of the joined run, from one checkpoint, or the beginning, to the next."""
    run = Soaked(seed, exact=True)
    if begin is not None:
        run.load(begin)
    run.make(steps)
    run.save(end)


def whole(seed: int, steps: int) -> tuple[list[Sample], str]:
    """The long run: its samples, and the tower in the end."""
    run, samples = Soaked(seed, exact=False), []
    every = max(1, steps // SAMPLES)
    for done in tqdm(range(every, steps + 1, every), unit=f" times {every} steps", leave=False, disable=None):
        begun = time.perf_counter()
        run.make(every)
        seconds = time.perf_counter() - begun
        held, alive = status("VmRSS"), gc.get_objects()
        nodes, tensors = [sum(issubclass(type(x), kind) for x in alive) for kind in (Node, th.Tensor)]
        del alive
        samples.append(Sample(done, held, nodes, tensors, 1e6 * seconds / every))
    return samples, str(run.optimizer)


def apart(call: Callable[..., Any], *arguments: Any) -> Any:
    """What a call gives in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(call, *arguments).result()


def join(seed: int, steps: int) -> tuple[bool, list[str]]:
    """Whether one run and ten that are joined have ended at the same bytes, and both towers in the end."""
    with tempfile.TemporaryDirectory() as folder:
        never, joined = Path(folder) / "never.npz", Path(folder) / "joined.npz"
        apart(leg, seed, None, steps, never)
        for n in tqdm(range(LEGS), unit="run", leave=False, disable=None):
            apart(leg, seed, joined if n else None, steps // LEGS, joined)
        ends = [Soaked(seed, exact=True) for _ in range(2)]
        for run, path in zip(ends, (never, joined)):
            run.load(path)
        return never.read_bytes() == joined.read_bytes(), [str(run.optimizer) for run in ends]


def table(samples: list[Sample], end: str, joined: int, same: bool, towers: list[str]) -> str:
    """What was found, in text."""
    lines = [f"{'steps':>9}  {'memory, MB':>10}  {'nodes':>6}  {'tensors':>7}  {'us a step':>9}"]
    for part in SHOWN:
        step, held, nodes, tensors, microseconds = samples[max(0, round(part * len(samples)) - 1)]
        lines.append(f"{step:>9}  {held / 1e6:>10.3f}  {nodes:>6}  {tensors:>7}  {microseconds:>9.1f}")
    grown = samples[-1].bytes - samples[max(0, round(SHOWN[0] * len(samples)) - 1)].bytes
    lines += [
        "",
        f"From {SHOWN[0]:.0%} of the steps on, memory changed by {grown / 1e3:+.0f} kB.",
        f"It ended at {end}.",
        f"One run of {joined:,} steps ended at {towers[0]}.",
        f"{LEGS} runs joined by checkpoints ended at {'the same bytes' if same else f'OTHER BYTES, {towers[1]}'}.",
    ]
    return "\n".join(lines)


def picture(samples: list[Sample]) -> bytes:
    """A PNG: memory, nodes and tensors alive, and the time of a step, over the steps."""
    figure = Figure(figsize=(12.5, 3.8), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    steps = [sample.step / 1e6 for sample in samples]
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
        axes.set_xlabel("millions of steps")
        tidy(axes)
    return png(figure)


def main(settings: Settings) -> int:
    """Run both ways, print a table, write the picture and the numbers. The exit status is 0 if both ended alike."""
    folder = output.prepare(settings.out)
    samples, end = apart(whole, settings.seed, QUICK if settings.quick else STEPS)
    joined = QUICK_JOINED if settings.quick else JOINED
    same, towers = join(settings.seed, joined)
    found = {"command": settings.command("soak"), "end": end, "joined": joined, "same": same, "towers": towers}
    text = json.dumps({**found, "samples": [sample._asdict() for sample in samples]}, indent=1)
    contents: dict[str, str | bytes] = {"soak.png": picture(samples), "soak.json": text + "\n"}
    output.finish(table(samples, end, joined, same, towers), folder, contents)
    return 0 if same else 1
