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

from .settings import Settings, UsageError, refuse

# name: what it shows. Each is the module demos.NAME, whose main(settings) returns the exit status.
DEMOS = {
    "digits": "a tanh MLP on 8x8 handwritten digits, from a far too small and a far too large step size",
    "figure1": "the paper's Figure 1 and the tower of height 3: which edges are cut, and why alpha gets a gradient",
    "bench": "tinyhyper and its peers side by side, as docs/performance.md has it; --quick takes about a minute",
    "horizon": "one step, k steps or the whole run: how far a hypergradient must look back, and what that costs",
}
EXTRAS = ("matplotlib", "tqdm")

DESCRIPTION = """\
Train a model with towers of optimizers. A stack reads bottom first: in "adam/sgd", Adam moves the weights, and SGD
moves Adam's hyperparameters. "adam(0.01)/sgd(1e-5)" gives each level its step size."""

EXAMPLES = """\
examples:
  python -m demos
  python -m demos digits --stack sgd --stack sgd/sgd/sgd --alpha 1e-4
  python -m demos --stack "adam(0.01)/sgd(1e-5)" --epochs 2 --seed 1 --out results
"""


class Parser(argparse.ArgumentParser):
    """argparse, with one line for an error."""

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


def parse(arguments: list[str]) -> tuple[str, Settings]:
    """The demo's name and its settings. Raises UsageError."""
    listing = "\n".join(f"  {name:<10} {summary}" for name, summary in DEMOS.items())
    parser = Parser(
        prog="python -m demos",
        description=DESCRIPTION,
        epilog=f"demos:\n{listing}\n\n{EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("name", nargs="?", default="digits", metavar="NAME", help="which demo (default: digits)")
    add("--stack", action="append", help="optimizers, bottom first; may be repeated (default: the demo's own)")
    add(
        "--alpha",
        action="append",
        type=checked(float, lambda alpha: 0 < alpha < math.inf, "a finite number above 0"),
        help="where the bottom's step size starts; may be repeated (default: far too small, and far too large)",
    )
    add(
        "--epochs",
        type=checked(int, lambda epochs: epochs > 0, "a whole number above 0"),
        help="passes over the training images (default: the demo's own)",
    )
    add(
        "--seed",
        type=checked(int, lambda seed: seed >= 0, "a whole number from 0 on"),
        default=0,
        help="of the first weights and of the order of the images (default: 0)",
    )
    add(
        "--out",
        type=checked(str, str.strip, "a folder"),
        default="tinyhyper-out",
        metavar="DIR",
        help="folder for the pictures (default: tinyhyper-out)",
    )
    bench = parser.add_argument_group("for bench")
    bench.add_argument("--quick", action="store_true", help="a part of it, in about a minute")
    bench.add_argument(
        "--threads",
        action="append",
        type=checked(int, lambda threads: threads > 0, "a whole number above 0"),
        help="how many; may be repeated (default: 1 and all; with --quick all)",
    )
    bench.add_argument("--only", action="append", metavar="KIND", help="hypersteps, towers, ...; may be repeated")
    bench.add_argument("--again", action="store_true", help="measure nothing: read what lies in --out")
    chosen = parser.parse_args(arguments)
    if chosen.name not in DEMOS:
        raise UsageError(f"no demo is named '{chosen.name}'; there are: {', '.join(DEMOS)}")
    several = (tuple(values or ()) for values in (chosen.stack, chosen.alpha, chosen.threads, chosen.only))
    stacks, alphas, threads, only = several
    settings = Settings(
        stacks, alphas, chosen.epochs, chosen.seed, Path(chosen.out), chosen.quick, threads, only, chosen.again
    )
    if chosen.name != "bench":
        refuse(settings, chosen.name, "--quick", "--threads", "--only", "--again")
    return chosen.name, settings


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
        name, settings = parse(arguments)
        return load(name)(settings)
    except UsageError as error:
        print("python -m demos: " + " ".join(str(error).split()), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("python -m demos: interrupted before anything was finished", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
