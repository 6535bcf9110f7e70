"""Values, first and second derivatives of a random program, here and by PyTorch, in float64.

`PYTHONPATH=. python tests/helpers/differential.py --programs 100000 --towers 2000` is the long form; the short one is
in test_differential.py. A mismatch is shrunk and printed as a program that runs.
"""

import argparse
import os
import sys
import traceback
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed

import numpy as np
import torch
import torch_library
import torch_tower
from backends import elementwise_backend
from hypothesis import HealthCheck, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

import tinyhyper as th
from tinyhyper.testing import programs, towers
from tinyhyper.testing.operations import ELEMENTWISE

RTOL = 1e-9  # of the largest entry; a chain of a few operations loses some of the 16 digits
TOWER_RTOL, TOWER_ATOL = 1e-8, 1e-11  # a hypergradient is a sum that may cancel


def directions(program, arrays):
    """Fixed random arrays of the same shapes."""
    rng = np.random.default_rng(len(program.steps))
    return [rng.standard_normal(np.shape(array)) for array in arrays]


def by_tinyhyper(program, backend=None):
    """The outputs, their gradient by the inputs, and the gradient of that along a direction: a list of arrays.

    backend: of the whole program as one fused function; None for one operation after the other.
    """
    elementwise_backend(backend or "auto")
    inputs = [th.tensor(array, requires_grad=True) for array in program.inputs]
    run = th.fuse(lambda *xs: tuple(program.run(xs))) if backend else lambda *xs: program.run(xs)
    outputs = run(*inputs)
    seeds = directions(program, [out.data for out in outputs])
    first = th.gradients(outputs, inputs, seeds, create_graph=True)
    along = directions(program, program.inputs)
    recorded = [(g, a) for g, a in zip(first, along) if g.requires_grad]
    if recorded:
        second = th.gradients([g for g, _ in recorded], inputs, [a for _, a in recorded])
    else:
        second = [th.tensor(np.zeros(x.shape)) for x in inputs]
    return [np.array(t.data) for t in (*outputs, *first, *second)]


def by_torch(program, together=False):
    """The same by PyTorch.  together: all outputs have the shape to which the inputs broadcast, as fused ones have."""
    inputs = [torch.from_numpy(np.array(array)).requires_grad_() for array in program.inputs]
    outputs = program.run(inputs, torch_library.call)
    if together:
        shape = np.broadcast_shapes(*[array.shape for array in program.inputs])
        outputs = [torch.broadcast_to(out, shape) for out in outputs]
    seeds = directions(program, [values(out) for out in outputs])
    first = _gradients(outputs, inputs, seeds)
    second = _gradients(first, inputs, directions(program, program.inputs))
    return [values(t) for t in (*outputs, *first, *second)]


def values(tensor):
    """A tensor of PyTorch's as an array. Its tensors that are known to be zero have no memory to be read."""
    return np.zeros(tensor.shape) if tensor._is_zerotensor() else tensor.detach().numpy()


def _gradients(outputs, inputs, seeds):
    pairs = [(out, torch.from_numpy(np.array(seed))) for out, seed in zip(outputs, seeds) if out.requires_grad]
    if not pairs:
        return [torch.zeros_like(x) for x in inputs]
    found = torch.autograd.grad(
        [out for out, _ in pairs], inputs, [seed for _, seed in pairs], create_graph=True, allow_unused=True
    )
    return [torch.zeros_like(x) if g is None else g for g, x in zip(found, inputs)]


def names(program):
    """What the arrays are."""
    inputs, outputs = range(len(program.inputs)), program.outputs
    kinds = {"x{}": outputs, "gradient of x{}": inputs, "second derivative by x{}": inputs}
    return [kind.format(n) for kind, numbers in kinds.items() for n in numbers]


def compare(program, backend=None):
    """Raise AssertionError with the program if the two differ."""
    ours, theirs = by_tinyhyper(program, backend), by_torch(program, backend is not None)
    count = len(program.outputs)
    for n, (name, mine, other) in enumerate(zip(names(program), ours, theirs)):
        group = theirs[:count] if n < count else theirs[count:]
        scale = max([1.0, *[float(np.abs(array).max(initial=0.0)) for array in group]])
        assert mine.shape == other.shape, f"{name} has shape {mine.shape}, by PyTorch {other.shape}\n{program}"
        worst = float(np.abs(mine - other).max(initial=0.0))
        assert worst <= RTOL * scale, f"{name}: off by {worst:.3g}\n{mine}\nby PyTorch\n{other}\n\n{program}"


# ---- Towers

SHAPES = {"w": (2, 3), "b": (3,), "scale": ()}
STEPS = 7


def first_weights(seed):
    rng = np.random.default_rng(seed)
    return {name: np.round(rng.uniform(-1, 1, shape), 2) for name, shape in SHAPES.items()}


def loss(params, step, library):
    """A small net's error, another at each step: the same text for both libraries."""
    rows = np.sin(np.arange(8.0).reshape(4, 2) + step)
    rows = rows if library is th else torch.from_numpy(rows)
    out = library.tanh(rows @ params["w"] + params["b"]) * params["scale"]
    return ((out - 0.3 * (step % 3)) ** 2).mean()


def tower_by_tinyhyper(tower, weights, steps=STEPS):
    """What `torch_tower.Tower.run` gives."""
    optimizer = tower.build()
    params = {name: th.tensor(w, requires_grad=True) for name, w in weights.items()}
    horizon, trace = tower.levels[0].options.get("horizon", 1), []
    for step in range(steps):
        ends = step % horizon == 0
        loss(params, step, th).backward(create_graph=not ends)
        tuned = [level.parameters[key] for level in optimizer.levels[:-1] for key in level._tuned] if ends else []
        hypergradients = [0.0 if u.grad is None else u.grad.item() for u in tuned]
        optimizer.step(params)
        used = [(level, key) for level in optimizer.levels for key, row in level._rows.items() if row in level._in_use]
        values = [level.hyperparameters[key] for level, key in used]
        weights = {name: w.numpy().copy() for name, w in params.items()}
        trace.append({"weights": weights, "hyperparameters": values, "hypergradients": hypergradients})
    return trace


def finite(record):
    """Whether all numbers of a step are."""
    numbers = [*record["weights"].values(), record["hyperparameters"], record["hypergradients"]]
    return all(np.isfinite(values).all() for values in numbers)


def compare_tower(tower, seed):
    """Raise AssertionError with the tower and the step at which the two part, as long as they are finite."""
    weights = first_weights(seed)
    ours, theirs = tower_by_tinyhyper(tower, weights), torch_tower.Tower(tower).run(weights, loss, STEPS)
    for step, (mine, other) in enumerate(zip(ours, theirs)):
        if not finite(other):
            assert not finite(mine), f"step {step}: finite here, but not by PyTorch\n{tower}\nseed {seed}"
            return
        for what in ("hypergradients", "hyperparameters"):
            where = f"step {step}, {what}, bottom level first, of\n{tower}\nseed {seed}"
            np.testing.assert_allclose(mine[what], other[what], TOWER_RTOL, TOWER_ATOL, err_msg=where)
        for name in SHAPES:
            where = f"step {step}, {name}, of\n{tower}\nseed {seed}"
            np.testing.assert_allclose(mine["weights"][name], other["weights"][name], TOWER_RTOL, 1e-12, err_msg=where)


# ---- The long form

CHUNK = 1_000


def hunt(kind, count, first):
    """How many examples of a kind were compared, and what the smallest ones say that differ."""
    strategy, check = KINDS[kind]
    compared = []

    @seeded(first)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy())
    def search(example):
        compared.append(1)
        check(example)

    try:
        search()
    except Exception:  # an example may also fail by an error of either library's
        return kind, len(compared), [traceback.format_exc()]
    return kind, len(compared), []


def elementwise():
    return programs(max_steps=6, operations=ELEMENTWISE).filter(lambda program: program.broadcasts)


KINDS = {
    "programs": (programs, compare),
    "fused": (elementwise, lambda program: compare(program, "numpy")),
    "kernels": (elementwise, lambda program: compare(program, "numba")),
    "towers": (
        lambda: st.tuples(towers(tuple(SHAPES)), st.integers(0, 999)),
        lambda pair: compare_tower(*pair),
    ),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for kind, default in {"programs": 20_000, "fused": 5_000, "kernels": 100, "towers": 500}.items():
        parser.add_argument(f"--{kind}", type=int, default=default, help=f"how many (default {default:,})")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("--seed", type=int, default=0, help="of the first chunk")
    options = vars(parser.parse_args())
    with ProcessPoolExecutor(options["jobs"], initializer=torch.set_num_threads, initargs=(1,)) as pool:
        shares = [
            pool.submit(hunt, kind, min(CHUNK, options[kind] - start), options["seed"] + start)
            for kind in KINDS
            for start in range(0, options[kind], CHUNK)
        ]
        total, wrong = Counter(), []
        for share in as_completed(shares):
            kind, compared, found = share.result()
            total[kind] += compared
            wrong += found
            print(f"\r{', '.join(f'{n:,} {k}' for k, n in total.items())}; {len(wrong)} mismatches", end="", flush=True)
    print("", *wrong, sep="\n\n")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
