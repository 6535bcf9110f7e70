"""How short-sighted a hypergradient is: `tinyhyper.hyper.myopia` on the problems of the demo `horizon`, and on a ridge.

`python -m demos myopia` prints for each problem a table of all ways to a hypergradient, and draws it.

The minimum of the ridge regression is known: its derivative by the strength of the penalty stands below the table.
"""

from __future__ import annotations

import numpy as np

import tinyhyper as th
from tinyhyper import hyper

from . import horizon
from .shared import output
from .shared.settings import Settings, shared

ROWS, COLUMNS, NOISE = 40, 8, 0.5
ALPHA, DECAY, STEPS = 0.2, 0.2, 200

options = shared("seed", "out")


def training(problem: horizon.Problem, seed: int) -> hyper.Training:
    """The run of a problem of `horizon`, differentiated by alpha."""
    rng = np.random.default_rng(seed)
    params = problem.start(rng)
    batches = [(data,) for data in problem.data(rng, problem.steps)]
    optimizer = th.optim.SGD(problem.alpha, horizon=None)
    return hyper.Training(problem.loss, params, optimizer, problem.goal, batches=batches)


def ridge(seed: int) -> tuple[hyper.Training, float]:
    """A ridge regression, its penalty judged by other data; and the derivative at the minimum, in closed form."""
    rng = np.random.default_rng(seed)
    truth, x, seen = rng.standard_normal(COLUMNS), *rng.standard_normal((2, ROWS, COLUMNS))
    y, heard = (inputs @ truth + NOISE * rng.standard_normal(ROWS) for inputs in (x, seen))

    def loss(params: dict[str, th.Tensor], decay: th.Tensor) -> th.Tensor:
        w = params["w"]
        return th.mean(th.square(x @ w - y)) + decay * th.sum(th.square(w))

    def goal(params: dict[str, th.Tensor]) -> th.Tensor:
        return th.mean(th.square(seen @ params["w"] - heard))

    curved = x.T @ x / ROWS + DECAY * np.eye(COLUMNS)
    least = np.linalg.solve(curved, x.T @ y / ROWS)
    slope = 2 / ROWS * seen.T @ (seen @ least - heard)
    exact = -DECAY * float(slope @ np.linalg.solve(curved, least))  # with respect to log decay
    run = hyper.Training(
        loss, {"w": np.zeros(COLUMNS)}, th.optim.SGD(ALPHA, horizon=None), goal, steps=STEPS,
        outside={"decay": DECAY}, coordinates={"decay": "log"},
    )  # fmt: skip
    return run, exact


def main(settings: Settings) -> int:
    """Take all ways on every problem, print the tables and draw them. Returns the exit status."""
    folder, told, pictures = output.prepare(settings.out), [], {}
    penalized, exact = ridge(settings.seed)
    runs = {problem.name: training(problem, settings.seed) for problem in horizon.problems()}
    for name, run in {**runs, "ridge regression": penalized}.items():
        answer = hyper.myopia(run)
        told.append(f"# {name}, {run.steps} steps\n\n{answer}")
        pictures[f"myopia-{name.replace(' ', '-')}.svg"] = answer.svg()
    told.append(f"At the minimum d goal / d log decay is {exact:.10g}, in closed form.")
    output.finish("\n\n".join(told), folder, pictures)
    return 0
