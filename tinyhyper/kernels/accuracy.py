"""The transcendental functions that kernels compute themselves, and how exact they are. `special` holds them.

Sine, cosine and tangent are exact to what NEAR_ULPS says for arguments up to NEAR; beyond it, where an argument must be
reduced by hundreds of digits of pi, a kernel calls the C library.
"""

from __future__ import annotations

# The largest error in either dtype, in units in the last place (ulp) of the true value.
MAX_ULPS = {
    "exp": 1.25,
    "expm1": 1.5,
    "log": 1.0,
    "log1p": 1.25,
    "tanh": 2.25,
    "tanh_slope": 3.9,
    "sigmoid": 2.5,
    "sigmoid_slope": 3.9,
    "softplus": 2.0,
    "erf": 2.0,
}

NEAR_ULPS = {"sin": 1.0, "cos": 1.0, "tan": 2.0}
NEAR = 2.0**20

# What kernels leave to the C library, one element at a time. NumPy has some of these in vectors.
LIBRARY = {"power", "arcsin", "arccos", "arctan", "sinh", "cosh"}

SUFFIXES = {"float32": "f32", "float64": "f64"}


def near_name(operation: str, dtype: str) -> str | None:
    """As special_name, for the functions whose arguments must not be larger than NEAR ("sin_near_f32")."""
    return f"{operation}_near_{SUFFIXES[dtype]}" if operation in NEAR_ULPS and dtype in SUFFIXES else None


def special_name(operation: str, dtype: str) -> str | None:
    """The name of the function of `special` for an operation and a dtype ("tanh_f32"), None if it has none."""
    return f"{operation}_{SUFFIXES[dtype]}" if operation in MAX_ULPS and dtype in SUFFIXES else None
