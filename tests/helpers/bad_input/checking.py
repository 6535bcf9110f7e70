"""Checks of gradients, and strategies for what they check."""

from tinyhyper import ArgumentError, DtypeError, GradientError

from .rows import Bad, bad


def of(call: str, error: type[Exception], *words: str) -> Bad:
    """A call of one of tinyhyper.testing's functions."""
    return bad(f"from tinyhyper.testing import {call.partition('(')[0]}\n{call}", error, *words)


CHECKING = [
    of("check_gradients(f, x, order=0)", ArgumentError, "order must be", "0", "integer >= 1"),
    of("check_gradients(f, x, order=1.5)", ArgumentError, "order must be", "1.5"),
    of("check_gradients(f, x, order=True)", ArgumentError, "order must be", "True"),
    of("check_gradients(f, x, rtol=-1)", ArgumentError, "rtol must be", "-1", ">= 0"),
    of("check_gradients(f, x, rtol=nan)", ArgumentError, "rtol must be", "nan"),
    of("check_gradients(f, x, atol='small')", ArgumentError, "atol must be", "'small'"),
    of("check_gradients(f, x, atol=True)", ArgumentError, "atol must be", "True"),
    of("check_gradients(f, x, seed=-1)", ArgumentError, "seed must be", "-1"),
    of("check_gradients(f)", ArgumentError, "none"),
    of("check_gradients(f, 'text')", DtypeError, "dtype"),
    of("check_gradients(lambda x: 1.0, x)", DtypeError, "must return a tensor, not a float"),
    of("check_gradients(f, i)", ArgumentError, "int64", "so there is nothing to differentiate;"),
    of("check_gradients(lambda x: None, x)", DtypeError, "NoneType", "return"),
    of("check_gradients(lambda x: x.numpy(), x)", DtypeError, "ndarray", "x.numpy()"),
    of("check_gradients(lambda x: x > 0, x)", DtypeError, "bool"),
    of("check_gradients(lambda x: x.detach() * x, x)", GradientError, "argument 0"),
    of("check_hypergradients(opt, lambda params: loss, params, steps=0)", ArgumentError, "steps must be", "0"),
    of("check_hypergradients(opt, lambda params: loss, params, rtol=-1.0)", ArgumentError, "rtol must be", "-1.0"),
    of("check_hypergradients(opt, lambda params: loss, params, True)", ArgumentError, "integer >= 1, not True"),
    of("check_hypergradients(th.optim.SGD, lambda params: loss, params)", DtypeError, "not an optimizer"),
    of("check_hypergradients(th.optim.SGD(0.1), lambda params: loss, params)", ArgumentError, "nothing is tuned"),
    of("check_hypergradients(opt, f, {'w': np.float32([1, 2])})", DtypeError, "'w'] must be float64"),
    of("check_hypergradients(opt, lambda params: 1.0, params)", DtypeError, "a tensor of one number, not a float"),
    of("check_hypergradients(opt, lambda params: params['w'], params)", DtypeError, "shape (3,)"),
    of("check_hypergradients('sgd', lambda params: loss, params)", DtypeError, "'sgd'"),
    of("arrays_off((), (2,), 1.0, -1.0)", ArgumentError, "low=1.0", "high=-1.0"),
    of("arrays_off(low=-inf)", ArgumentError, "low must be", "-inf", "finite"),
    of("arrays_off(high=nan)", ArgumentError, "high must be", "nan", "finite"),
    of("arrays_off(high='2')", ArgumentError, "high must be", "'2'", "finite"),
    of("arrays_off((nan,))", ArgumentError, "kinks", "not (nan,)", "(0.0,)"),
    of("arrays_off(('a',))", ArgumentError, "kinks", "not ('a',)", "(0.0,)"),
    of("arrays_off((10**400,))", ArgumentError, "kinks", "(0.0,)"),
    of("arrays_off(high=10**5000)", ArgumentError, "high must be", "inf", "finite"),
    of("arrays_off(low=-(10**400))", ArgumentError, "low must be", "-inf", "finite"),
    of("arrays_off(shape=(3, -1))", ArgumentError, "shape", "not (3, -1)"),
    of("arrays_off(shape=(2.5,))", DtypeError, "shape must be", "(2.5,)", "integer"),
    of("arrays_off(shape='x')", DtypeError, "shape must be", "'x'", "integer"),
    of("arrays_off(shape=None)", DtypeError, "shape must be", "None", "integer"),
    of("arrays_off(dtype='c16')", DtypeError, "dtype", "not 'c16'", "floats"),
    of("arrays_off(dtype='nonsense')", DtypeError, "dtype", "not 'nonsense'", "floats"),
    of("arrays_off(low=-0.5, high=0.5, dtype=int)", ArgumentError, "no room", "int64", "-0.5", "(0.0,)"),
    of("arrays_off(0.0)", ArgumentError, "kinks", "not 0.0", "(0.0,)"),
    of("arrays_off(place=3)", ArgumentError, "place", "not 3"),
    of("axes_of((2, 3))", ArgumentError, "ndim must be", "(2, 3)"),
    of("axes_of(-1)", ArgumentError, "ndim must be", "-1"),
]
