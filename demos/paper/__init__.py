"""The paper's experiments: `python -m demos paper NAME`. Each is a list of independent runs, carried out anywhere,
and a table or figure made from their results alone.

A new experiment is two things.

1. A *kind* of training: a module with a function `perform`, which carries out one run in any process and returns its
   result as JSON-able data. A training loop is a subclass of `Training`:

       def load(data): ...                 # the data; lines of results note a hash of it (optional)
       def fitted(run, data): ...          # the run, where it depends on how much data there is (optional)
       COST = 1.3                          # roughly, milliseconds a step: the longest run comes first

       class Model(Training): ...          # `batch`, `after` and `result`; `Training` says what a checkpoint holds

       def perform(run, place):
           return train(partial(Model, run, load(place.data)), run, place)

   `train` does the rest: replayed steps, checkpoints, the stop where the loss is no longer a number.
   An epoch's order is best drawn from `default_rng([run.seed, 1 + epoch])`, which needs no generator that is kept.

2. An `Experiment` in a module of its own, demos/paper/NAME.py, with one line in the table of demos/__main__.py:

       def plan(settings): return [Run("name", "demos.paper.mnist", "sgd/sgd", 0, steps=7050, options={"images": 1000})]
       def markdown(lines): ...            # the fragment for docs/results.md, from the lines of finished runs
       def pictures(lines): ...            # {"name.png": bytes}
       EXPERIMENT = Experiment("name", plan, markdown, pictures)

   `markdown` and `pictures` get a list of `Line`s (run, result, record), perhaps not all of those planned: some may be
   missing after Ctrl-C.

| file | what |
| --- | --- |
| `run` | a run's description and its key; where it works; its line of results; the file of lines |
| `training` | the loop, and its checkpoints |
| `queue` | all runs through an executor: a thread, processes, a Dask cluster |
| `experiment` | the command: plan, queue, table, pictures |
| `record` | where, how long and on which data runs were made |
| `page` | tables, and means with their deviations |
"""

from .experiment import Experiment
from .run import Line, Place, Run
from .training import Training, train

__all__ = ["Experiment", "Line", "Place", "Run", "Training", "train"]
