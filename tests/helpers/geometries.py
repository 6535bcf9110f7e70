"""How windows lie on images, and arrays for them."""

from hypothesis import strategies as st


@st.composite
def geometries(draw, longest=6):
    """Kernel, stride and padding, each a pair, and sides of images into which they fit."""
    kernel, stride = (draw(st.tuples(st.integers(1, 3), st.integers(1, 3))) for _ in range(2))
    padding = draw(st.tuples(st.integers(0, 3), st.integers(0, 3)))
    size = tuple(draw(st.integers(max(1, k - 2 * p), max(1, k - 2 * p) + longest)) for k, p in zip(kernel, padding))
    return size, kernel, stride, padding


def factors(rng, images, size, kernel, inputs, outputs, stride, padding, dtype):
    """Images, weights and a cotangent, of small whole numbers: their sums are exact in any order."""
    x = rng.integers(-3, 4, (images, *size, inputs)).astype(dtype)
    w = rng.integers(-3, 4, (*kernel, inputs, outputs)).astype(dtype)
    shape = [(n + 2 * p - k) // s + 1 for n, k, s, p in zip(size, kernel, stride, padding)]
    return x, w, rng.integers(-3, 4, (images, *shape, outputs)).astype(dtype)
