"""Handwritten digits from a far too small and a far too large step size: plain optimizers and towers, side by side.

`python -m demos` prints a table, and writes the curves and a picture of where the graph is cut.
"""

from __future__ import annotations

import time
import warnings
from argparse import ArgumentParser

import numpy as np
from tqdm import tqdm

import tinyhyper as th

from .shared import output, report, stacks
from .shared.settings import Settings, UsageError, positive, shared

STACKS = ("sgd", "sgd/sgd", "sgd/sgd/sgd/sgd", "adam", "adam/sgd")
EPOCHS = 12
BATCH = 8
HIDDEN = 32
CLASSES = 10

# Where each optimizer starts by default: far below what works well, and where it just about breaks. Further up the
# tanh outputs saturate at the first step, no gradient is left, and no optimizer recovers.
STARTS = {
    "sgd": (1e-5, 2.0),
    "adagrad": (1e-5, 1.5),
    "adadelta": (1e-3, 30.0),
    "rmsprop": (1e-5, 0.02),
    "adam": (1e-6, 0.05),
    "adamw": (1e-6, 0.05),
}
START_NAMES = ("a far too small alpha", "a far too large alpha")

Params = dict[str, th.Tensor]


def options(parser: ArgumentParser) -> None:
    """The options of this demo."""
    parser.add_argument("--stack", action="append", dest="stacks", help="optimizers, bottom first; may be repeated")
    parser.add_argument(
        "--alpha", action="append", type=positive, dest="alphas", help="where the bottom's begins; may be repeated"
    )
    shared("epochs", "seed", "out")(parser)


def initial(rng: np.random.Generator) -> Params:
    """The weights of a 64-32-10 MLP: uniform within 1/sqrt(inputs), PyTorch's default for linear layers."""
    params = {}
    for layer, (inputs, outputs) in enumerate([(64, HIDDEN), (HIDDEN, CLASSES)], start=1):
        bound = inputs**-0.5
        for name, shape in {"weight": (inputs, outputs), "bias": (outputs,)}.items():
            values = rng.uniform(-bound, bound, shape).astype(np.float32)
            params[f"layer{layer}.{name}"] = th.tensor(values, requires_grad=True)
    return params


def doubled(rng: np.random.Generator) -> Params:
    """The same weights in float64, for differences."""
    return {name: th.tensor(w.numpy(), requires_grad=True, dtype=np.float64) for name, w in initial(rng).items()}


def logits(params: Params, images: np.ndarray) -> th.Tensor:
    """(n, 64) images to (n, 10) scores. As in the paper, tanh is on the outputs too."""
    hidden = th.linear(images, params["layer1.weight"], params["layer1.bias"], th.tanh)
    return th.linear(hidden, params["layer2.weight"], params["layer2.bias"], th.tanh)


def loss(params: Params, images: np.ndarray, labels: np.ndarray) -> th.Tensor:
    """The cross entropy of a minibatch."""
    return th.cross_entropy(logits(params, images), labels)


def test_error(params: Params, data: th.data.Split) -> float:
    """Per cent of the test images that are taken for another digit."""
    with th.no_grad():
        guesses = logits(params, data.test_images).numpy().argmax(axis=1)
    return 100 * float(np.mean(guesses != data.test_labels))


def train(run: report.Run, data: th.data.Split, count: int, seed: int, progress: tqdm) -> report.Result:
    """One stack from one start. Stops where the loss is no longer a number, which the report says."""
    warnings.simplefilter("ignore", th.AnomalyWarning)
    rng = np.random.default_rng(seed)
    params, images, labels = initial(rng), data.train_images, data.train_labels
    optimizer = th.optim.from_string(run.stack, alpha=run.alpha)
    alphas, losses = [np.array([optimizer.hyperparameters["alpha"]])], []
    started = time.perf_counter()
    step = th.replay(loss, params, optimizer)
    for _ in range(count):
        *whole, rest = (rows for rows, _ in th.data.batches(np.arange(len(labels)), labels, BATCH, rng))
        found, kept = step.over(images, labels, index=whole, keep=("alpha",))
        losses += [found, np.array([step(images[rest], labels[rest])])]
        alphas += [kept["alpha"], np.array([optimizer.hyperparameters["alpha"]])]
        progress.update(len(whole) + 1)
        if not np.isfinite([losses[-1][-1], alphas[-1][-1]]).all():
            break
    seconds = time.perf_counter() - started
    curve, rates = np.concatenate(losses), np.concatenate(alphas)
    made = finite(curve, rates[1:])
    return report.Result(run, rates[: made + 1].tolist(), curve[:made].tolist(), test_error(params, data), seconds)


def finite(*curves: np.ndarray) -> int:
    """How many steps there are up to the first at which something is not finite, with that."""
    bad = np.flatnonzero(~np.isfinite(curves).all(axis=0))
    return int(bad[0]) + 1 if bad.size else len(curves[0])


def two_steps(data: th.data.Split) -> th.inspect.Recording:
    """The tape of two steps of SGD / SGD on one layer: small enough to be read whole."""
    params = {"w": th.tensor(np.zeros((64, CLASSES), np.float32), requires_grad=True)}
    optimizer = th.optim.from_string("sgd(0.01)/sgd(0.001)")
    with th.record() as tape:
        for step in range(2):
            images, labels = next(th.data.batches(data.train_images, data.train_labels, BATCH, step))
            loss = th.cross_entropy(th.tanh(images @ params["w"]), labels)
            loss.backward()
            optimizer.step(params)
    return tape


def plan(settings: Settings) -> list[report.Run]:
    """Every run that was asked for. Raises UsageError for a stack that cannot be read."""
    runs = []
    for stack in settings.stacks or STACKS:
        try:
            own = stacks.states_alpha(stack)
        except (th.TinyhyperError, TypeError) as error:
            raise UsageError(str(error)) from error
        if own and settings.alphas:
            raise UsageError(f"the stack '{stack}' gives an alpha of its own, so --alpha cannot choose it; drop one")
        if own:
            chosen = {"the stack's own alpha": stacks.alpha_of(stack, 1.0)}
        elif settings.alphas:
            chosen = {f"alpha = {alpha:g}": alpha for alpha in settings.alphas}
        else:
            chosen = dict(zip(START_NAMES, STARTS[stacks.bottom(stack)], strict=True))
        runs += [report.Run(stack, start, stacks.complete(stack, alpha), alpha) for start, alpha in chosen.items()]
    return runs


def train_all(runs: list[report.Run], count: int, seed: int) -> list[report.Result]:
    """Train one run after another under one progress bar; Ctrl-C ends it with the runs finished so far."""
    data = th.data.digits()
    steps = count * -(-len(data.train_labels) // BATCH)
    finished: list[report.Result] = []
    with tqdm(total=steps * len(runs), unit="step", leave=False, disable=None) as progress:
        try:
            for done, run in enumerate(runs, start=1):
                progress.set_description(f"{run.name} from {run.start}")
                finished.append(train(run, data, count, seed, progress))
                progress.update(done * steps - progress.n)  # what a diverged run left out
        except KeyboardInterrupt:
            pass
    return finished


def main(settings: Settings) -> int:
    """Train every run, print a table, write the curves and the picture of the cut. Returns the exit status."""
    runs = plan(settings)
    count = EPOCHS if settings.epochs is None else settings.epochs
    folder = output.prepare(settings.out)
    tape = two_steps(th.data.digits())
    finished = train_all(runs, count, settings.seed)
    told = [f"Digits: a tanh MLP 64-{HIDDEN}-{CLASSES}, batches of {BATCH}, epochs: {count}, seed: {settings.seed}"]
    if finished:
        told.append(report.table(finished))
    told.append(f"Two steps of SGD / SGD on one layer, and where the graph was cut:\n\n{tape}")
    if len(finished) < len(runs):
        told.append(f"Interrupted: {len(finished)} of {len(runs)} runs were finished.")
    pictures = {"curves.png": report.curves(finished)} if finished else {}
    output.finish("\n\n".join(told), folder, {**pictures, "cut.svg": th.inspect.svg(tape)})
    return 0 if len(finished) == len(runs) else 130
