"""The optimizers: each is the equation that moves one weight, and a table of what the equation names.

In a rule, w is the weight, g its gradient, then comes the state, then by name the hyperparameters and, where the rule
asks for it, t, the number of this step counted from 1. The rule returns the new weight and the new state.
"""

from .coordinates import SQRT, UNIT, Hyperparameter
from .rules import reciprocal, sqrt
from .tower import Optimizer

ALPHA = Hyperparameter(0.01)
UNUSED = Hyperparameter(0.0, optional=True)


def fraction(default: float) -> Hyperparameter:
    """A number between 0 and 1, which cannot leave that range."""
    return Hyperparameter(default, UNIT, range=(0.0, 1.0))


def epsilon(default: float) -> Hyperparameter:
    """A small constant that nothing tunes unless it is named in `tune`."""
    return Hyperparameter(default, tuned=False)


class SGD(Optimizer):
    """Gradient descent: alpha (step size), mu (momentum), weight_decay; nesterov looks ahead along the momentum.

    A mu or weight_decay of 0 is absent, unless `tune` names it.
    """

    table = {"alpha": ALPHA, "mu": UNUSED._replace(range=(0.0, 1.0)), "weight_decay": UNUSED}
    state = {"velocity": 0.0}

    @staticmethod
    def rule(w, g, velocity, *, alpha, mu, weight_decay, nesterov=False):
        g = weight_decay * w + g
        velocity = mu * velocity + g
        return w - alpha * (mu * velocity + g if nesterov else velocity), velocity


class AdaGrad(Optimizer):
    """AdaGrad (Duchi et al., 2011): steps shrink with the sum of squared gradients, which starts at 0.1."""

    table = {"alpha": ALPHA, "eps": epsilon(1e-10), "weight_decay": UNUSED}
    state = {"total": 0.1}
    squares = ("total",)

    @staticmethod
    def rule(w, g, total, *, alpha, eps, weight_decay):
        g = weight_decay * w + g
        total = total + g * g
        return w - alpha * g / sqrt(total + eps), total


class AdaDelta(Optimizer):
    """AdaDelta (Zeiler, 2012): each step has the scale of the steps before it."""

    table = {"alpha": Hyperparameter(1.0), "rho": fraction(0.9), "eps": epsilon(1e-6), "weight_decay": UNUSED}
    state = {"squares": 0.0, "steps": 0.0}
    squares = ("squares", "steps")

    @staticmethod
    def rule(w, g, squares, steps, *, alpha, rho, eps, weight_decay):
        g = weight_decay * w + g
        squares = rho * squares + (1.0 - rho) * g * g
        step = g * sqrt(steps + eps) / sqrt(squares + eps)
        return w - alpha * step, squares, rho * steps + (1.0 - rho) * step * step


class RMSProp(Optimizer):
    """RMSProp (Hinton, 2012), with alpha tuned through its square root and gamma through the unit interval."""

    table = {"alpha": Hyperparameter(0.01, SQRT), "gamma": fraction(0.99), "eps": epsilon(1e-8), "weight_decay": UNUSED}
    state = {"squares": 0.0}
    squares = ("squares",)

    @staticmethod
    def rule(w, g, squares, *, alpha, gamma, eps, weight_decay):
        g = weight_decay * w + g
        squares = gamma * squares + (1.0 - gamma) * g * g
        return w - alpha * g / sqrt(squares + eps), squares


class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015). v starts at eps, as the square root's slope at 0 is infinite."""

    table = {
        "alpha": Hyperparameter(0.001), "beta1": fraction(0.9), "beta2": fraction(0.999), "eps": epsilon(1e-8),
        "weight_decay": UNUSED,
    }  # fmt: skip
    state = {"m": 0.0, "v": "eps"}
    squares = ("v",)

    @staticmethod
    def rule(w, g, m, v, *, alpha, beta1, beta2, eps, weight_decay, t):
        step, m, v = moments(weight_decay * w + g, m, v, beta1, beta2, eps, t)
        return w - alpha * step, m, v


class AdamW(Optimizer):
    """AdamW (Loshchilov and Hutter, 2019): Adam whose weight decay does not pass through the moments."""

    table = {**Adam.table, "weight_decay": Hyperparameter(0.01, optional=True)}
    state = Adam.state
    squares = Adam.squares

    @staticmethod
    def rule(w, g, m, v, *, alpha, beta1, beta2, eps, weight_decay, t):
        step, m, v = moments(g, m, v, beta1, beta2, eps, t)
        return w - alpha * (weight_decay * w + step), m, v


def moments(g, m, v, beta1, beta2, eps, t):
    """Adam's direction, and its running averages of the gradient and of its square."""
    m = beta1 * m + (1.0 - beta1) * g
    v = beta2 * v + (1.0 - beta2) * g * g
    m_hat = m * reciprocal(1.0 - beta1**t)  # one division a step, not one a weight
    v_hat = v * reciprocal(1.0 - beta2**t)
    return m_hat * reciprocal(sqrt(v_hat) + eps), m, v
