"""A training that ends in the midst, as if its process had."""

import pytest

from demos.paper import Place, train


class Interrupted(Exception):
    pass


def stopping(training, at):
    """The training, which is interrupted as it comes to a step."""
    usual = training.batch

    def batch(step):
        if step == at:
            raise Interrupted
        return usual(step)

    training.batch = batch
    return training


def whole_and_joined(begin, run, folder, at):
    """What a training leaves that is made at once, and in two parts; without the seconds."""
    place = Place(folder / "joined", every=0, look=0)
    place.folder.mkdir(parents=True)
    with pytest.raises(Interrupted):
        train(lambda: stopping(begin(), at), run, place)
    found = train(begin, run, Place(folder)), train(begin, run, place)
    for result in found:
        del result["seconds"]
    return found
