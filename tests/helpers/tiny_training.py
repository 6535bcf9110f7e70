"""A kind of training that takes no time, for the tests of experiments: a few weights, and all that a checkpoint holds.

Options of a run: `slow`, a file: while it is there, steps take their time; `die`, a file: without it the run makes it
and kills its process at step `at`; `fail`, an error is raised at step `at`; `explode`, the loss is not a number from
step `at` on.
"""

import os
import signal
import time
from functools import partial
from pathlib import Path

import numpy as np

import tinyhyper as th
from demos.paper import Training, train

COST = 1.0
DATA = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)


class Counter(th.nn.Layer):
    """A layer that counts its calls."""

    def __init__(self):
        super().__init__("counter", buffers={"calls": np.zeros((), np.int64)})

    def __call__(self, params, x):
        self.own["calls"] += 1
        return x * (1 + 0.01 * float(self.own["calls"]))


class Tiny(Training):
    def __init__(self, run):
        rng = np.random.default_rng(run.seed)
        weights = {"w": rng.standard_normal((6, 3)), "b": rng.standard_normal(3)}
        params = {name: th.tensor(x.astype(np.float32), requires_grad=True) for name, x in weights.items()}
        super().__init__(params, th.optim.from_string(run.stack), self.weighted)
        self.model = Counter()
        self.carried = {"state": np.zeros(3)}
        self.history = {"losses": []}
        self.run = run

    def stepper(self):
        return self.eagerly  # the counter counts each call

    def batch(self, step):
        options = self.run.options
        if "slow" in options and Path(options["slow"]).exists():
            time.sleep(0.05)
        if step == options.get("at"):
            self.accident(options)
        noise = np.random.default_rng([self.run.seed, step]).standard_normal(3)
        self.carried["state"] = 0.5 * self.carried["state"] + noise
        return [np.float32(np.nan if "explode" in options and step >= options["at"] else 1)]

    def weighted(self, params, factor):
        out = th.tanh(th.Tensor(DATA) @ params["w"] + params["b"])
        return th.sum(self.model(params, out) * self.carried["state"].astype(np.float32)) / 4 * factor

    def accident(self, options):
        if "fail" in options:
            raise ValueError("it had to fail")
        if "die" in options and not Path(options["die"]).exists():
            Path(options["die"]).touch()
            os.kill(os.getpid(), signal.SIGKILL)

    def after(self, step, loss):
        self.history["losses"].append(loss)

    def result(self):
        return {
            "losses": self.history["losses"],
            "weights": {name: w.numpy().tolist() for name, w in self.params.items()},
            "levels": [level.hyperparameters for level in self.optimizer.levels],
            "calls": int(self.model.own["calls"]),
            "state": self.carried["state"].tolist(),
        }


def perform(run, place):
    with open(place.folder / "performed", "a") as file:
        file.write(run.key + "\n")
    return train(partial(Tiny, run), run, place)
