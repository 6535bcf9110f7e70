"""What a replayed run holds: no more than its steps need, however many there are."""

import gc

import pytest
from replayed import batches, loss_of, make

import tinyhyper as th
from tinyhyper.optim import SGD, Adam
from tinyhyper.program.moment import Moment
from tinyhyper.testing.alive import alive


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("horizon", [1, 3])
def test_a_long_run_holds_no_more_moments_than_a_short_one(exact, horizon):
    train = th.replay(loss_of, *make(Adam(1e-2, optimizer=SGD(1e-4), horizon=horizon)), exact=exact)
    for n, batch in enumerate(batches(100)):
        train(*batch)
        if n in (39, 66, 99):  # in one place of the window
            gc.collect()
            assert alive(Moment) < 10
