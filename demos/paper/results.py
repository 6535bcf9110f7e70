"""docs/results.md: what all experiments have left in a folder, as one page beside it."""

from __future__ import annotations

import os
from pathlib import Path
from string import Template

from tinyhyper import files

from ..shared import output
from ..shared.settings import Settings, UsageError, shared
from . import Experiment, augment, bounded, charrnn, fedexp, meta, private, resnet, table1, towers, walls
from .experiment import complain
from .run import Store

TEXT = Path(__file__).with_suffix(".md")
EXPERIMENTS = {
    demo.EXPERIMENT: words
    for demo, words in {
        table1: "Test errors of 18 stacks, published and here, hyperoptimized and run again with the learned values.",
        walls: "Test error over the top step size for four stacks, here and in an independent reproduction.",
        resnet: "Test errors from nine settings, plain and hyperoptimized; alpha and the test error over the epochs.",
        charrnn: "Training perplexity and alpha over the steps, from three alphas, plain and hyperoptimized.",
        towers: "Errors over the first alpha for towers of different heights, the decades that do well, the run time.",
        bounded: "Test error over the first alpha, in linear and in log coordinates.",
        fedexp: "The objective over the rounds, for rules and for towers on the server, and the towers' step sizes.",
        private: "The loss over constant steps beside searches and a tower; step sizes and losses by step.",
        meta: "Both objectives' derivatives over the number of steps, meta-training, and two choices over n.",
        augment: "The distance by power laws over the steps, and schedules of step size and noise that were learned.",
    }.items()
}


options = shared("out")


def stored(experiment: Experiment, folder: Path) -> Path:
    """Where the lines of an experiment lie in the folder."""
    return folder / f"{experiment.name}.jsonl"


def section(experiment: Experiment, words: str, folder: Path) -> tuple[str, dict[str, str | bytes]]:
    """The fragment of an experiment with its pictures, and these; of one without lines a word."""
    lines = list(Store(stored(experiment, folder), complain).lines.values())
    if not lines:
        return f"`python -m demos paper {experiment.name}` has left nothing here.", {}
    drawn = dict(experiment.pictures(lines))
    shown = [f"![{words}]({folder.name}/{name})" for name in drawn]
    return "\n\n".join([experiment.markdown(lines), *shown]), drawn


def markdown(folder: Path) -> tuple[str, dict[str, str | bytes]]:
    """The page of a folder, and the pictures in it by name."""
    sections = {e.name: section(e, words, folder) for e, words in EXPERIMENTS.items()}
    pictures = {name: picture for _, drawn in sections.values() for name, picture in drawn.items()}
    texts = {name: text for name, (text, _) in sections.items()}
    return Template(TEXT.read_text(encoding="utf-8")).substitute(texts), pictures


def main(settings: Settings) -> int:
    """Write the page beside the folder, and the pictures into it. Returns the exit status.

    Raises UsageError, before anything is written, where one of both cannot be written to.
    """
    folder = settings.out.resolve()
    if not any(os.path.isfile(stored(experiment, folder)) for experiment in EXPERIMENTS):
        complain(f"nothing found in {folder}")
        return 1
    if not folder.name:
        raise UsageError(f"--out: the page is written beside the folder, and '{folder}' has nothing beside it")
    output.prepare(folder)
    output.prepare(folder.parent)
    text, pictures = markdown(folder)
    page = files.write(folder.with_name(f"{folder.name}.md"), text)
    for name, picture in pictures.items():
        files.write(folder / name, picture)
    print(page)
    return 0
