"""One bar over all runs, with the time left. It moves while they are under way, as each tells how far it is."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from tqdm import tqdm

from .place import Place
from .run import Run

SHOWN = "{desc}{percentage:3.0f} %|{bar}| {elapsed}, left: {remaining}"


class Bar:
    """A context in which the bar is shown, where there is a terminal.

    runs: each with how many runs of its length will follow it.  A run's part of the bar is its cost.
    """

    def __init__(self, runs: Sequence[tuple[Run, int]], place: Place) -> None:
        self.place = place
        self.under_way: dict[str, Run] = {}
        self.ended, self.total = 0, sum(1 + ahead for _, ahead in runs)
        self.done = 0.0
        cost = sum(run.cost * (1 + ahead) for run, ahead in runs)
        before = sum(self._part(run) for run, _ in runs)  # by an earlier start
        self.bar = tqdm(total=max(cost, 1.0), initial=before, bar_format=SHOWN, smoothing=0, leave=False, disable=None)
        self.leaving = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Bar:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.leaving.set()
        self.thread.join()
        self.bar.close()

    def begin(self, run: Run) -> None:
        """The run is under way, or waits for its worker."""
        self.under_way[run.key] = run

    def end(self, run: Run) -> None:
        """The run is finished."""
        self.under_way.pop(run.key, None)
        self.done += run.cost
        self.ended += 1

    def _watch(self) -> None:
        while not self.leaving.wait(self.place.look):
            told = sum(self._part(run) for run in list(self.under_way.values()))
            self.bar.set_description_str(f"{self.ended} of {self.total} runs ", refresh=False)
            self.bar.n = min(self.done + told, self.bar.total)
            self.bar.refresh()

    def _part(self, run: Run) -> float:
        return run.cost * self.place.told(run) / run.steps
