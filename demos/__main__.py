"""python -m demos [NAME]: run an experiment."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from .settings import OUT, Settings, UsageError, refuse

# name: what it shows. Each is the module demos.NAME, whose main(settings) returns the exit status.
DEMOS = {
    "digits": "a tanh MLP on 8x8 handwritten digits, from a far too small and a far too large step size",
    "figure1": "the paper's Figure 1 and the tower of height 3: which edges are cut, and why alpha gets a gradient",
    "bench": "tinyhyper and its peers side by side, as docs/performance.md has it; --quick takes about a minute",
    "horizon": "one step, k steps or the whole run: how far a hypergradient must look back, and what that costs",
    "bugs": "the symptoms of sixteen wrong hyperoptimizers, beside the right ones, as docs/bugs.md has them",
    "table1": "Table 1: 18 stacks on MNIST, and the plain optimizers again with what was learned",
    "walls": "how large a top step size may be: the walls past which four stacks diverge",
    "resnet": "Figure 2: ResNet-20 on CIFAR-10 from nine settings, and a learned decay of alpha",
    "charrnn": "Figure 3: a character LSTM from three alphas, with and without a hyperoptimizer, and what it writes",
    "towers": "Figure 4: the taller the tower, the less its first step size matters; and what height costs",
    "bounded": "what the paper left open: towers whose step sizes cannot turn negative, beside those of Figure 4a",
    "soak": "a million steps of a small tower: memory, time, and the same end as ten runs joined by checkpoints",
    "results": "what all experiments have left in --out, as one page beside that folder, as docs/results.md has it",
}
EXTRAS = ("matplotlib", "tqdm")
SEVERAL = {"stack": "stacks", "alpha": "alphas", "threads": "threads", "only": "only"}  # options, settings

DESCRIPTION = """\
Train a model with towers of optimizers. A stack reads bottom first: in "adam/sgd", Adam moves the weights, and SGD
moves Adam's hyperparameters. "adam(0.01)/sgd(1e-5)" gives each level its step size."""

EXAMPLES = """\
examples:
  python -m demos
  python -m demos digits --stack sgd --stack sgd/sgd/sgd --alpha 1e-4
  python -m demos --stack "adam(0.01)/sgd(1e-5)" --epochs 2 --seed 1 --out results
  python -m demos table1 --quick
  python -m demos towers --jobs 2 --data-dir ~/data
"""


class Parser(argparse.ArgumentParser):
    """argparse, with one line for an error, and help that is not silent about an output that takes nothing."""

    def print_help(self, file: Any = None) -> None:
        print(self.format_help(), end="", file=file)

    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def checked(convert: Callable[[str], Any], holds: Callable[[Any], Any], wanted: str) -> Callable[[str], Any]:
    """An argument's type: what it converts to, as long as `holds` is true of that."""

    def argument(text: str) -> Any:
        try:
            value = convert(text)
        except ValueError:
            value = None
        if value is None or not holds(value):
            raise argparse.ArgumentTypeError(f"'{text}' is not {wanted}")
        return value

    return argument


WHOLE = checked(int, lambda number: number > 0, "a whole number above 0")
FOLDER = checked(os.path.expanduser, lambda folder: folder.strip() and folder[0] != "~", "a folder")


def parse(arguments: list[str]) -> tuple[str, Settings]:
    """The demo's name and its settings. Raises UsageError."""
    listing = "\n".join(f"  {name:<10} {summary}" for name, summary in DEMOS.items())
    parser = Parser(
        prog="python -m demos",
        usage="python -m demos [NAME] [options]",
        description=DESCRIPTION,
        epilog=f"demos:\n{listing}\n\n{EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", nargs="?", default="digits", metavar="NAME", help="which demo (default: digits)")
    every = parser.add_argument_group("options, where a demo has a use for them")
    every.add_argument("--stack", action="append", help="optimizers, bottom first; may be repeated (for digits)")
    every.add_argument(
        "--alpha",
        action="append",
        type=checked(float, lambda alpha: 0 < alpha < math.inf, "a finite number above 0"),
        help="where the bottom's step size starts; may be repeated (for digits)",
    )
    every.add_argument("--epochs", type=WHOLE, help="passes over the training data (default: the demo's own)")
    every.add_argument(
        "--seed",
        type=checked(int, lambda seed: seed >= 0, "a whole number from 0 on"),
        default=0,
        help="of the first weights and of the order of the images (default: 0)",
    )
    every.add_argument("--out", type=FOLDER, default=str(OUT), metavar="DIR", help=f"for results (default: {OUT})")
    every.add_argument("--quick", action="store_true", help="a part of it, in about a minute")
    every.add_argument("--again", action="store_true", help="compute nothing: read what lies in --out")
    runner = parser.add_argument_group(
        "for experiments, which are made of many runs: a finished run is not run again, an interrupted one goes on"
    )
    runner.add_argument("--seeds", type=WHOLE, help="how many, from --seed on (default: the experiment's own)")
    runner.add_argument("--jobs", type=WHOLE, metavar="N", help="processes (default: one a core); 1 is this one")
    runner.add_argument("--dask", type=checked(str, str.strip, "an address"), metavar="ADDRESS", help="a Dask cluster")
    runner.add_argument("--data-dir", type=FOLDER, metavar="DIR", dest="data", help="where data sets lie")
    bench = parser.add_argument_group("for bench")
    bench.add_argument(
        "--threads",
        action="append",
        type=WHOLE,
        help="how many; may be repeated (default: 1 and all; with --quick all)",
    )
    bench.add_argument("--only", action="append", metavar="KIND", help="hypersteps, ...; of towers 4a, ...")
    chosen = vars(parser.parse_args(arguments))
    if (name := chosen.pop("name")) not in DEMOS:
        raise UsageError(f"no demo is named '{name}'; there are: {', '.join(DEMOS)}")
    chosen |= {several: tuple(chosen.pop(one) or ()) for one, several in SEVERAL.items()}
    folders = {key: Path(chosen[key]) for key in ("out", "data") if chosen[key]}
    settings = Settings(**(chosen | folders))
    refuse(settings, name)
    return name, settings


def load(name: str) -> Callable[[Settings], int]:
    """The demo's main. Raises UsageError if a package that demos need is missing."""
    try:
        main: Callable[[Settings], int] = import_module(f"demos.{name}").main
        return main
    except ModuleNotFoundError as error:
        if (package := str(error.name).split(".")[0]) in EXTRAS:
            raise UsageError(f'demos need {package}: pip install "tinyhyper[demos]"') from None
        raise


def main(arguments: list[str]) -> int:
    """Run the demo that the arguments ask for, and return the exit status."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # the printed tape has a ✂, which not every terminal's encoding has
    try:
        try:
            name, settings = parse(arguments)
            return load(name)(settings)
        finally:
            flush()  # here, where an error of it is told, and not as the interpreter ends
    except UsageError as error:
        print("python -m demos: " + " ".join(str(error).split()), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("python -m demos: interrupted before anything was finished", file=sys.stderr)
        return 130
    except OSError as error:
        tell(error)
        return 1


def flush() -> None:
    """Put out what has been printed, unless there is no output at all."""
    if sys.stdout is not None:
        sys.stdout.flush()


def tell(error: OSError) -> None:
    """Say in a line what the system refused: a file, which the error names, or the output.

    Nothing is said where the reader of our output has left, as `head` does.
    """
    try:
        flush()
    except OSError:  # which Python would try again as it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if not isinstance(error, BrokenPipeError):
        what = "" if error.filename or error.errno is None else "what was found cannot be printed: "
        print(f"python -m demos: {what}{error}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
