"""python -m demos [NAME]: a demo, or an experiment of the paper, each with options of its own."""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module
from typing import Any, NoReturn

from .shared.settings import Settings, UsageError

# name: what it shows. "paper walls" is the module demos.paper.walls. A module, or its EXPERIMENT, has `options`, which
# adds to a parser, and `main`, which takes the settings and returns the exit status.
DEMOS = {
    "digits": "a tanh MLP on 8x8 handwritten digits, from a far too small and a far too large step size",
    "figure1": "the paper's Figure 1 and the tower of height 3: which edges are cut, and why alpha gets a gradient",
    "horizon": "one step, k steps or the whole run: how far a hypergradient must look back, and what that costs",
    "myopia": "every way to a hypergradient of the same runs and of a ridge regression: value, error, time, memory",
    "bugs": "the symptoms of sixteen wrong hyperoptimizers, beside the right ones, as docs/bugs.md has them",
    "soak": "ten million replayed steps: memory and time; and whether runs joined by checkpoints end as one does",
    "bench": "tinyhyper and its peers side by side, as docs/performance.md has it; --quick takes two minutes",
    "lowering": "what each lowering of a replayed program gains, as docs/replay.md has it",
    "course": "the lessons of docs/course as Jupyter notebooks and as scripts, in --out",
    "lesson": "one of them in the terminal, with a prompt for answers: python -m demos lesson 1",
    "paper table1": "Table 1: 18 stacks on MNIST, and the plain optimizers again with what was learned",
    "paper walls": "how large a top step size may be: the walls past which four stacks diverge",
    "paper resnet": "Figure 2: ResNet-20 on CIFAR-10 from nine settings, and a learned decay of alpha",
    "paper charrnn": "Figure 3: a character LSTM from three alphas, with and without a hyperoptimizer",
    "paper towers": "Figure 4: the taller the tower, the less its first step size matters; and what height costs",
    "paper bounded": "what the paper left open: towers whose step sizes cannot turn negative",
    "paper fedexp": "a neighbour: the server's step size in federated learning, by FedExP, fixed, and by towers",
    "paper private": "a neighbour: a backtracking search within a budget of privacy, beside towers, which cost none",
    "paper meta": "a neighbour: learning a step size through T steps, where that breaks, and by which loss",
    "paper augment": "a neighbour: schedules of step size and of noise on the inputs, by powers of t, and learned",
    "paper results": "what all experiments have left in --out, as one page beside it, as docs/results.md has it",
}
MODULES = {
    "bench": "demos.bench.command",  # demos.bench is imported by the measured processes, so it is light
    "lowering": "demos.bench.lowering",
    "course": "demos.course.notebooks",
    "lesson": "demos.course.lesson",
}
EXTRAS = {"matplotlib": "demos", "tqdm": "demos", "nbformat": "course"}
HELP = ("-h", "--help")

DESCRIPTION = """\
Train a model with towers of optimizers. A stack reads bottom first: in "adam/sgd", Adam moves the weights, and SGD
moves Adam's hyperparameters. "adam(0.01)/sgd(1e-5)" gives each level its step size.

Without a NAME it is digits. python -m demos NAME --help tells the options of a demo."""

EXAMPLES = """\
examples:
  python -m demos
  python -m demos digits --stack sgd --stack sgd/sgd/sgd --alpha 1e-4
  python -m demos --stack "adam(0.01)/sgd(1e-5)" --epochs 2 --seed 1 --out results
  python -m demos paper table1 --quick
  python -m demos paper towers --jobs 2 --data-dir ~/data
"""


class Parser(argparse.ArgumentParser):
    """argparse, with one line for an error, and help that is not silent about an output that takes nothing."""

    def print_help(self, file: Any = None) -> None:
        print(self.format_help(), end="", file=file)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} ({self.prog} --help tells what there is)")


def named(words: list[str]) -> tuple[str, list[str]]:
    """The demo's name, and the words that are left for its options. Raises UsageError."""
    if not words or words[0].startswith("-"):
        return "digits", words
    count = 2 if words[0] == "paper" else 1
    name, options = " ".join(words[:count]), words[count:]
    if name in DEMOS:
        return name, options
    if f"paper {name}" in DEMOS:
        raise UsageError(f"'{name}' stands among the paper's experiments: say python -m demos paper {name}")
    raise UsageError(f"no demo is named '{name}'; there are: {', '.join(DEMOS)}")


def load(name: str) -> Any:
    """What has the demo's options and main. Raises UsageError if a package that demos need is missing."""
    try:
        module = import_module(MODULES.get(name, f"demos.{name.replace(' ', '.')}"))
    except ModuleNotFoundError as error:
        if (package := str(error.name).split(".")[0]) in EXTRAS:
            raise UsageError(f'{name} needs {package}: pip install "tinyhyper[{EXTRAS[package]}]"') from None
        raise
    return getattr(module, "EXPERIMENT", module)


def parse(words: list[str]) -> tuple[Any, Settings]:
    """The demo and its settings. Raises UsageError; ends the process after help."""
    first = words[1:2] if words[:1] == ["paper"] else words[:1]
    if first and first[0] in HELP:
        listing = "\n".join(f"  {name:<14} {summary}" for name, summary in DEMOS.items())
        overview = Parser(
            prog="python -m demos",
            usage="python -m demos [NAME] [options]",
            description=DESCRIPTION,
            epilog=f"demos:\n{listing}\n\n{EXAMPLES}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        overview.print_help()
        overview.exit()
    name, options = named(words)
    demo = load(name)
    parser = Parser(prog=f"python -m demos {name}", description=DEMOS[name])
    demo.options(parser)
    return demo, Settings.of(parser.parse_args(options))


def main(arguments: list[str]) -> int:
    """Run the demo that the arguments ask for, and return the exit status."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # the printed tape has a ✂, which not every terminal's encoding has
    try:
        try:
            demo, settings = parse(arguments)
            status: int = demo.main(settings)
            return status
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
