"""Every optimizer with hyperparameters at which each of them matters, so that all have hypergradients to compare."""

from tinyhyper.optim import SGD, AdaDelta, AdaGrad, Adam, AdamW, RMSProp

RULES = {
    "sgd": lambda **kw: SGD(0.05, 0.3, 0.1, **kw),
    "nesterov": lambda **kw: SGD(0.05, 0.3, 0.1, nesterov=True, **kw),
    "adagrad": lambda **kw: AdaGrad(0.1, 0.05, 0.1, **kw),
    "adadelta": lambda **kw: AdaDelta(0.5, 0.6, 0.05, 0.1, **kw),
    "rmsprop": lambda **kw: RMSProp(0.05, 0.7, 0.05, 0.1, **kw),
    "adam": lambda **kw: Adam(0.05, 0.6, 0.8, 0.05, 0.1, **kw),
    "adamw": lambda **kw: AdamW(0.05, 0.6, 0.8, 0.05, 0.1, **kw),
}
