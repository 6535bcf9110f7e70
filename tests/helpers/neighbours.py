"""What holds for each experiment of a neighbouring method."""

from made_up import PNG

from demos.__main__ import main
from demos.paper.experiment import complain
from demos.paper.page import MEASURED, OPEN, PAPER
from demos.paper.run import Store


def made_once(experiment, folder, capsys, *options):
    """What a short run prints, and its lines: it makes page and picture, marks each claim, and is not made again."""
    name = experiment.__name__.rpartition(".")[2]
    command = ["paper", name, *options, "--epochs", "2", "--jobs", "1", "--out", str(folder)]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert (folder / f"{name}.png").read_bytes().startswith(PNG) and (folder / f"{name}.md").read_text() in printed
    assert all(any(mark in where for mark in (MEASURED, PAPER, OPEN)) for _, where in experiment.CLAIMS)
    assert main([*command, "--again"]) == 0 and capsys.readouterr().out == printed
    return printed, list(Store(folder / f"{name}.jsonl", complain).lines.values())
