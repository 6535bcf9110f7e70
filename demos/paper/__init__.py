"""The paper's experiments: `python -m demos paper NAME`. Each is a list of independent runs, carried out anywhere,
and a table or figure made from their results alone.

A new experiment is two things.

1. A *kind* of training: a module with a function `perform`, which carries out one run in any process and returns what
   came of it as JSON-able data. A training loop is a subclass of `Training`, handed to `train`:

       def load(data): ...                 # what the data is; lines of results note a hash of it (optional)
       def ready(data): ...                # sees, once before all runs, that what `load` gives is enough (optional)
       def fitted(run, data): ...          # the run, where it depends on how much data there is (optional)
       COST = 1.3                          # roughly, milliseconds a step: for the order of runs and the time left

       class Model(Training):
           def __init__(self, run, data):  # all that the next step depends on is in these attributes of Training:
               self.params = ...           #   named tensors, as `optimizer.step` takes them
               self.optimizer = ...        #   th.optim.from_string(run.stack)
               self.model = ...            #   a th.nn.Layer with buffers, if there is one
               self.generators = {}        #   random generators that are used again in later steps, by name
               self.carried = {}           #   arrays that are handed from step to step, by name: an LSTM's state
               self.history = {}           #   what was recorded so far, JSON-able
           def loss(self, step): ...       # the loss of the batch of this step, counted from 0
           def after(self, step, loss): ...  # record something; the loss is a float (optional)
           def result(self): ...           # a dict, JSON-able

       def perform(run, place):
           return train(Model(run, load(place.data)), run, place)

   `train` does the rest: backward, the optimizer's step, checkpoints, telling how far it is, the stop where the loss
   is no longer a number. An epoch's order is best drawn from `default_rng([run.seed, 1 + epoch])`, which needs no
   generator that is kept. Whatever is not in those six attributes has to follow from the run and the step.

2. An `Experiment` in a module of its own, demos/paper/NAME.py, with one line in the table of demos/__main__.py:

       def plan(settings): return [Run("name", "demos.paper.mnist", "sgd/sgd", 0, steps=7050, options={"images": 1000})]
       def markdown(lines): ...            # the fragment for docs/results.md, from the lines of finished runs
       def pictures(lines): ...            # {"name.png": bytes}
       EXPERIMENT = Experiment("name", plan, markdown, pictures)

   `markdown` and `pictures` get a list of `Line`s (run, result, record), perhaps not all of those planned: some may be
   missing after Ctrl-C. `follow` gives the runs that begin where one has ended; `alone` those that are to be timed.

| file | what |
| --- | --- |
| `run` | a run's description and its key; a line: a run with its result |
| `store` | the file of lines |
| `training` | what is trained, and the loop |
| `checkpoint` | a training as one file, and back |
| `place` | where a run finds data and leaves its checkpoint, and how far it is |
| `data` | what data a kind has found |
| `workers` | executors: this process, several, a Dask cluster |
| `conduct` | all runs through an executor, with breakdowns and Ctrl-C |
| `bar` | how far all of them are |
| `command` | `python -m demos paper NAME` |
| `record` | where and how long runs were made, as text |
| `page` | tables, and means with their deviations |
"""

from .command import Experiment
from .place import Place
from .run import Line, Run
from .training import Training, train

__all__ = ["Experiment", "Line", "Place", "Run", "Training", "train"]
