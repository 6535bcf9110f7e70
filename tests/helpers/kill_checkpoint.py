"""A training that is killed (SIGKILL) again and again, and goes on from its checkpoint.

    PYTHONPATH=. python tests/helpers/kill_checkpoint.py 200

kills 200 processes, each at a random moment, most of them while they save; after each it looks whether all that had
been saved is there, and in the end whether the numbers are those of a training that was never stopped.
test_checkpoint.py does the same with a few.
"""

import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import tinyhyper as th
from tinyhyper.optim import SGD, Adam, RMSProp

ROOT = Path(__file__).resolve().parents[2]
SHAPE = (200, 100)  # large enough for a save to take longer than a step


def begin():
    """The tower and the weights before the first step, and the generator of the batches."""
    weights = np.random.default_rng(0).standard_normal(SHAPE)
    params = {"w": th.tensor(weights, requires_grad=True, dtype=np.float32), "b": th.tensor(0.5, requires_grad=True)}
    return Adam(0.01, optimizer=RMSProp(1e-4, optimizer=SGD(1e-5))), params, np.random.default_rng(1)


def step(optimizer, params, rng):
    """One step on a random batch."""
    batch = th.tensor(rng.standard_normal(SHAPE[1]).astype(np.float32))
    (th.mean(th.square(params["w"] @ batch)) + th.square(params["b"])).backward()
    optimizer.step(params)


def train(path, until, every):
    """Train to so many steps, from the checkpoint if there is one; say of each saved step that it is saved."""
    optimizer, params, rng = begin()
    done = 0
    if path.exists():
        params, extra = th.load(path, optimizer)
        rng.bit_generator.state, done = extra["rng"], extra["step"]
    while done < until:
        step(optimizer, params, rng)
        done += 1
        if done % every == 0 or done == until:
            th.save(path, params, optimizer, rng=rng.bit_generator.state, step=done)
            print(done, flush=True)


def child(path, until, every=1):
    """A process that trains."""
    return subprocess.Popen(
        [sys.executable, __file__, "train", str(path), str(until), str(every)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )


def straight(steps):
    """The tower, the weights and the generator after so many steps without a stop."""
    optimizer, params, rng = begin()
    for _ in range(steps):
        step(optimizer, params, rng)
    return optimizer, params, rng


def kill(times, folder, seed=None):
    """Kill a training so many times: how many steps it had saved in the end, and how often half a file was left.

    Raises AssertionError where anything that had been saved is lost.
    """
    chance, path, last, torn = random.Random(seed), Path(folder) / "run.npz", 0, 0
    for _ in range(times):
        process = child(path, 10**9)
        first = process.stdout.readline()
        time.sleep(chance.uniform(0, 0.1))
        process.kill()
        told = [int(line) for line in [first, *process.stdout] if line.endswith("\n")]
        process.wait()
        saved = th.load(path).extra["step"]
        assert last < told[-1] <= saved <= told[-1] + 1, (last, told, saved)
        left = [name for name in os.listdir(folder) if name != path.name]
        assert len(left) <= 1, left
        last, torn = saved, torn + len(left)
    return last, torn


def main(times):
    with tempfile.TemporaryDirectory() as folder:
        begun = time.monotonic()
        steps, torn = kill(times, folder)
        optimizer, params, _ = begin()
        params, _ = th.load(Path(folder) / "run.npz", optimizer)
        other, weights, _ = straight(steps)
        same = all(params[name].data.tobytes() == w.data.tobytes() for name, w in weights.items())
        same = same and [level.hyperparameters for level in optimizer.levels] == [
            level.hyperparameters for level in other.levels
        ]
    print(
        f"{times} kills in {time.monotonic() - begun:.0f} s, {torn} of them in the middle of a file; {steps} steps "
        f"were saved, and the numbers are {'those' if same else 'NOT those'} of {steps} steps without a stop"
    )
    return 0 if same else 1


if __name__ == "__main__":
    if sys.argv[1] == "train":
        train(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    else:
        sys.exit(main(int(sys.argv[1])))
