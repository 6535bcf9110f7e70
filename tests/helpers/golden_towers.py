"""The recorded towers, and how to follow a record. NumPy alone: the core follows them where there is nothing else."""

import re
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parents[1] / "golden"


def towers(SGD, AdaGrad, RMSProp, Adam):
    """Each recorded tower by name, as a function that makes it of these classes."""

    def tower_of_ten():
        """SGD ten levels high: 0.01 at the bottom, 0.001 at each level above."""
        optimizer = None
        for _ in range(9):
            optimizer = SGD(0.001, optimizer=optimizer)
        return SGD(0.01, optimizer=optimizer)

    rates = {"layer1.weight": 0.1, "layer1.bias": 0.05, "layer2.weight": 0.02}
    only = {"tune": ("alpha",)}
    return {
        "sgd": lambda: SGD(0.1),
        "sgd_sgd": lambda: SGD(0.1, optimizer=SGD(0.01)),
        "sgdmom_sgd": lambda: SGD(0.05, 0.9, optimizer=SGD(0.001)),
        "sgd_sgdmom_sgd": lambda: SGD(0.05, optimizer=SGD(0.01, mu=0.5, optimizer=SGD(0.001))),
        "sgd_x10": tower_of_ten,
        "adam_sgd": lambda: Adam(0.01, 0.9, 0.999, optimizer=SGD(1e-4)),
        "adam_adam": lambda: Adam(0.01, optimizer=Adam(0.001)),
        "adamalpha_adamalpha": lambda: Adam(0.01, **only, optimizer=Adam(0.001, **only)),
        "adagrad_sgd": lambda: AdaGrad(0.1, optimizer=SGD(0.01)),
        "adagrad_adagrad": lambda: AdaGrad(0.1, optimizer=AdaGrad(0.01)),
        "rmsprop_rmsprop": lambda: RMSProp(0.01, 0.99, optimizer=RMSProp(1e-4, 0.99)),
        "rmspropalpha_rmspropalpha": lambda: RMSProp(0.01, 0.9, **only, optimizer=RMSProp(1e-4, 0.9, **only)),
        "sgdperparam_sgd": lambda: SGD(rates, optimizer=SGD(0.001)),
    }


def close(got, expected, what):
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=0, err_msg=what)


def follow(record, optimizer, tensor, loss_of, close=close):
    """Run the tower over the record's batches and hold every number against it.

    loss_of: the recorded model, loss_of(params, x, y): tanh on both layers, then mean cross-entropy; weights are
    (out, in).
    """
    params = {k[5:]: tensor(record[k], requires_grad=True) for k in record.files if k.startswith("init.layer")}
    for key in record.files:
        if match := re.fullmatch(r"init\.level(\d+)\.(.+)", key):
            close(optimizer.levels[int(match[1])].parameters[match[2]].item(), record[key], key)
    for t, (x, y) in enumerate(zip(record["X"], record["y"])):
        loss = loss_of(params, tensor(x), y)
        close(loss.item(), record["trace.loss"][t], f"loss at step {t}")
        loss.backward()
        optimizer.step(params)
        for key in record.files:
            if match := re.fullmatch(r"trace\.level(\d+)\.(.+)", key):
                close(optimizer.levels[int(match[1])].parameters[match[2]].item(), record[key][t], f"{key} at step {t}")
    for name, value in params.items():
        close(value.data, record[f"final.{name}"], name)
