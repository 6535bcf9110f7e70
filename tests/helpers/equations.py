"""The equation of each optimizer, as its paper has it, for the arrays of any library.

From the weight w, its gradient g, the state s, the hyperparameters h by name and the number t of the step: how far the
weight moves down, and the new state.
"""


def sgd(w, g, s, h, t, nesterov=False):
    g = g + h["weight_decay"] * w
    velocity = h["mu"] * s[0] + g
    return h["alpha"] * (g + h["mu"] * velocity if nesterov else velocity), [velocity]


def adagrad(w, g, s, h, t):
    g = g + h["weight_decay"] * w
    total = s[0] + g**2
    return h["alpha"] * g / (total + h["eps"]) ** 0.5, [total]


def adadelta(w, g, s, h, t):
    g, rho, eps = g + h["weight_decay"] * w, h["rho"], h["eps"]
    squares = rho * s[0] + (1 - rho) * g**2
    step = ((s[1] + eps) / (squares + eps)) ** 0.5 * g
    return h["alpha"] * step, [squares, rho * s[1] + (1 - rho) * step**2]


def rmsprop(w, g, s, h, t):
    g = g + h["weight_decay"] * w
    squares = h["gamma"] * s[0] + (1 - h["gamma"]) * g**2
    return h["alpha"] * g / (squares + h["eps"]) ** 0.5, [squares]


def _adam(g, s, h, t):
    m = h["beta1"] * s[0] + (1 - h["beta1"]) * g
    v = h["beta2"] * s[1] + (1 - h["beta2"]) * g**2
    return m / (1 - h["beta1"] ** t) / ((v / (1 - h["beta2"] ** t)) ** 0.5 + h["eps"]), [m, v]


def adam(w, g, s, h, t):
    direction, s = _adam(g + h["weight_decay"] * w, s, h, t)
    return h["alpha"] * direction, s


def adamw(w, g, s, h, t):
    direction, s = _adam(g, s, h, t)
    return h["alpha"] * (direction + h["weight_decay"] * w), s


# By optimizer: the rule, and the state before the first step, which may be a hyperparameter's value.
RULES = {
    "SGD": (sgd, [0.0]),
    "AdaGrad": (adagrad, [0.1]),
    "AdaDelta": (adadelta, [0.0, 0.0]),
    "RMSProp": (rmsprop, [0.0]),
    "Adam": (adam, [0.0, "eps"]),
    "AdamW": (adamw, [0.0, "eps"]),
}
