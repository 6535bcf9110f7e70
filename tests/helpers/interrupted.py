"""A training that ends in the midst, as if its process had."""


class Interrupted(Exception):
    pass


def stopping(training, at):
    """The training, which is interrupted as it comes to a step; never if that is None."""
    usual = training.batch

    def batch(step):
        if step == at:
            raise Interrupted
        return usual(step)

    training.batch = batch
    return training
