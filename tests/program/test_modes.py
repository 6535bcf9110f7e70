"""The mode of layers, and their options, are compared at each call of a replayed run."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from replayed import eager_step

import tinyhyper as th
from tinyhyper.optim import SGD, Adam

BLOCK = 8  # steps, in which a program is recorded and run


class Model(th.nn.Layer):
    """Layers inside a layer, an option of it that is a plain attribute, and a buffer of its own."""

    def __init__(self):
        inner = th.nn.Layer("inner", parts=[th.nn.Conv2d("conv", 1, 2, 2), th.nn.BatchNorm2d("norm", 2)])
        super().__init__("model", parts=[inner], buffers={"level": np.zeros(())})
        self.scale = 1.0

    def __call__(self, params, x):
        conv, norm = self.parts[0].parts
        out = norm(params, conv(params, x)) * self.scale
        level = th.tensor(self.own["level"])
        if self.training:
            level = 0.5 * level + th.mean(out.detach())
            self.own["level"] = level.numpy()
        return out - level


def switch(model, what):
    """What a user may do to a model between two steps."""
    norm = model.parts[0].parts[1]
    if what in ("train", "eval"):
        getattr(model, what)()
    elif what == "norm":
        norm.train(not norm.training)
    elif what == "momentum":
        norm.momentum = 0.5
    elif what == "scale":
        model.scale = 2.0


@settings(max_examples=8)
@given(st.lists(st.sampled_from(["train", "eval", "norm", "momentum", "scale"]), min_size=1, max_size=3))
def test_a_run_follows_the_modes_and_the_options_of_its_layers(switches):
    (eager, *ours), (replayed, *theirs) = (
        (model, model.parameters(seed=0, dtype=np.float64), Adam(0.01, optimizer=SGD(1e-4)))
        for model in (Model(), Model())
    )

    def loss_with(model):
        return lambda params, x: th.mean(th.square(model(params, x) - 0.5))

    train = th.replay(loss_with(replayed), *theirs, carry=replayed.live_buffers, exact=True)
    rng = np.random.default_rng(0)
    for what in ("train", *switches):
        for model in (eager, replayed):
            switch(model, what)
        for x in rng.standard_normal((BLOCK, 2, 3, 3, 1)):
            assert train(x) == eager_step(loss_with(eager), *ours, (x,))
        for name, buffer in eager.buffers.items():
            assert replayed.buffers[name].tobytes() == buffer.tobytes()
        assert train.program is not None
