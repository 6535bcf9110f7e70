"""Checks of gradients, and strategies for what they check."""

from tinyhyper import ArgumentError, DtypeError, GradientError

from .rows import Bad, bad


def of(call: str, error: type[Exception], *words: str) -> Bad:
    """A call of one of tinyhyper.testing's functions."""
    return bad(f"from tinyhyper.testing import {call.partition('(')[0]}\n{call}", error, *words)


CHECKING = [
    of("check_gradients(f, x, order=0)", ArgumentError, "order=0", "from 1 on"),
    of("check_gradients(f, x, order=1.5)", ArgumentError, "order=1.5"),
    of("check_gradients(f, x, order=True)", ArgumentError, "order=True"),
    of("check_gradients(f, x, rtol=-1)", ArgumentError, "rtol=-1", "from 0 on"),
    of("check_gradients(f, x, rtol=nan)", ArgumentError, "rtol=nan"),
    of("check_gradients(f, x, atol='small')", ArgumentError, "atol='small'"),
    of("check_gradients(f, x, atol=True)", ArgumentError, "atol=True"),
    of("check_gradients(f, x, seed=-1)", ArgumentError, "seed=-1"),
    of("check_gradients(f, i)", ArgumentError, "int64", "nothing to differentiate by"),
    of("check_gradients(lambda x: None, x)", DtypeError, "NoneType", "return"),
    of("check_gradients(lambda x: x.numpy(), x)", DtypeError, "ndarray", "x.numpy()"),
    of("check_gradients(lambda x: x > 0, x)", DtypeError, "bool"),
    of("check_gradients(lambda x: x.detach() * x, x)", GradientError, "argument 0"),
    of("check_hypergradients(opt, lambda params: loss, params, steps=0)", ArgumentError, "steps=0"),
    of("check_hypergradients(opt, lambda params: loss, params, rtol=-1.0)", ArgumentError, "rtol=-1.0"),
    of("check_hypergradients('sgd', lambda params: loss, params)", DtypeError, "'sgd'"),
    of("arrays_off((), (2,), 1.0, -1.0)", ArgumentError, "low=1.0", "high=-1.0"),
    of("arrays_off(low=-inf)", ArgumentError, "low=-inf", "finite"),
    of("arrays_off(high=nan)", ArgumentError, "high=nan", "finite"),
    of("arrays_off(high='2')", ArgumentError, "high='2'", "finite"),
    of("arrays_off((nan,))", ArgumentError, "kinks=(nan,)", "(0.0,)"),
    of("arrays_off(('a',))", ArgumentError, "kinks=('a',)", "(0.0,)"),
    of("arrays_off((10**400,))", ArgumentError, "kinks", "(0.0,)"),
    of("arrays_off(high=10**5000)", ArgumentError, "high=inf", "finite"),
    of("arrays_off(low=-(10**400))", ArgumentError, "low=-inf", "finite"),
    of("arrays_off(shape=(3, -1))", ArgumentError, "shape=(3, -1)", "below 0"),
    of("arrays_off(shape=(2.5,))", DtypeError, "shape=(2.5,)", "whole number"),
    of("arrays_off(shape='x')", DtypeError, "shape='x'", "whole number"),
    of("arrays_off(shape=None)", DtypeError, "shape=None", "whole number"),
    of("arrays_off(dtype='c16')", DtypeError, "dtype='c16'", "floats"),
    of("arrays_off(dtype='nonsense')", DtypeError, "dtype='nonsense'", "floats"),
    of("arrays_off(low=-0.5, high=0.5, dtype=int)", ArgumentError, "no room", "int64", "-0.5", "(0.0,)"),
    of("arrays_off(0.0)", ArgumentError, "kinks=0.0", "(0.0,)"),
    of("arrays_off(place=3)", ArgumentError, "place=3"),
    of("axes_of((2, 3))", ArgumentError, "ndim=(2, 3)"),
    of("axes_of(-1)", ArgumentError, "ndim=-1"),
]
