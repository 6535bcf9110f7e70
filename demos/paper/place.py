"""Where a run works: its data, its checkpoint, and the small files by which it and its starter know of each other."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tinyhyper import files

from .run import Run

TURN = "turn"  # the file that says whose turn it is; without it (on another machine) a run goes on


class Stopped(Exception):
    """The run was told to stop, by its own starter or because a later one has come; its checkpoint is there."""


@dataclass(frozen=True)
class Place:
    """What a run is told beside its description; none of it changes the numbers, but for last bits by threads.

    folder: for checkpoints.  data: the folder of data sets, None for the loaders' own places.
    threads: of kernels, in each run.  command: what the user typed.  starter: a name that no other starter has.
    every: seconds between two checkpoints.  look: seconds between two looks at whether something is due.
    fingerprint: of the data, as far as it is known.
    """

    folder: Path
    data: Path | None = None
    threads: int = 1
    command: str = ""
    starter: str = "this"
    every: float = 20.0
    look: float = 0.5
    fingerprint: str | None = None

    def checkpoint(self, run: Run) -> Path:
        """The file of the run's checkpoint."""
        return self.folder / f"{run.key}.npz"

    def tell(self, run: Run, step: int) -> None:
        """Say how far the run is, unless the disk is full: a bar is no reason to stop."""
        with suppress(OSError):
            files.write(self._step(run), str(step))

    def told(self, run: Run) -> int:
        """How far the run is, as far as it is known here."""
        try:
            return int(self._step(run).read_text())
        except (OSError, ValueError):  # not begun, or on another machine
            return 0

    def go(self) -> None:
        """Let the runs of this starter go on; those of an earlier one that are still under way stop."""
        self.folder.mkdir(parents=True, exist_ok=True)
        files.write(self.folder / TURN, self.starter)

    def stop(self) -> None:
        """Let all runs make a checkpoint and stop."""
        with suppress(OSError):
            files.write(self.folder / TURN, "nobody's")

    def stopping(self) -> bool:
        """Whether runs of this starter are to stop."""
        try:
            return (self.folder / TURN).read_text() != self.starter
        except OSError:
            return False

    def begin(self, run: Run) -> None:
        """Forget how far the run was, unless it goes on from there."""
        if not self.checkpoint(run).exists():
            self.clear(run)

    def clear(self, run: Run) -> None:
        """Remove all that the run has left here."""
        for path in self.folder.glob(f"{run.key}.*"):
            path.unlink(missing_ok=True)

    def leave(self) -> None:
        """Remove the folder, if no checkpoint is in it."""
        with suppress(OSError):
            (self.folder / TURN).unlink()
            self.folder.rmdir()

    def _step(self, run: Run) -> Path:
        return self.folder / f"{run.key}.step"
