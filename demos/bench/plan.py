"""What is measured: every table row of every workload, in full and in quick."""

from __future__ import annotations

from dataclasses import dataclass

from .elements import CHAIN_SIZES, CHAINS, OPERATIONS, PLAIN, SIZES, TRANSPOSED, Shape
from .networks import IMAGES, NETWORKS
from .problems import HYPERSTEPS, MLP, SMALL
from .turns import Row, Task

OURS = "tinyhyper"
OVER, CALLED, EXACT = "replay, over", "replay, call a step", "replay, exact"
BESIDE = "replay, over, side by side"
PUBLISHED = ("published package", "published, create_graph")
JAX, JAX_LOOP = "JAX, call a step", "JAX, fori_loop"
COMPILED = (JAX, JAX_LOOP, "torch.compile")
BY_HAND = "NumPy by hand"
NO_TOWER, CHANNELS_LAST, FLOOR = "plain PyTorch", "plain PyTorch, channels last", "floor"
TRAINING_ROWS = (
    Row(OURS, "tinyhyper"),
    Row(EXACT, "tinyhyper", "exact"),
    Row(CALLED, "tinyhyper", "call"),
    Row(OVER, "tinyhyper", "over"),
    Row(PUBLISHED[0], "torch", "published"),
    Row(PUBLISHED[1], "torch", "create_graph"),
    Row(NO_TOWER, "torch", "plain"),
    Row(JAX, "jax"),
    Row(JAX_LOOP, "jax", "loop"),
    Row("torch.compile", "torch_compile"),
    Row("MyGrad", "mygrad"),
    Row("autograd", "autograd"),
    Row(BY_HAND, "numpy"),
)
TOWER_LABELS = (OURS, CALLED, OVER, *PUBLISHED)
NETWORK_LABELS = (OURS, CALLED, *PUBLISHED, NO_TOWER)
CHANNELS_ROW = Row(CHANNELS_LAST, "torch", "channels_last")
FLOOR_ROW = Row(FLOOR, "numpy", "floor")
BESIDE_ROW = Row(BESIDE, "tinyhyper", "beside")
ROWS_OF = {MLP: (FLOOR_ROW,), SMALL: (BESIDE_ROW,)}
ELEMENT_ROWS = (Row(OURS, "tinyhyper"), Row("NumPy", "numpy"), Row("PyTorch", "torch"), Row("MyGrad", "mygrad"))
BACKENDS = tuple(f"{OURS}, {backend}" for backend in ("auto", "numba", "blas"))
MATRIX_ROWS = (
    *(Row(label, "tinyhyper", label.split(", ")[1]) for label in BACKENDS),
    Row("NumPy", "numpy"),
    Row("PyTorch", "torch"),
)
HEIGHTS = (0, 1, 3, 10, 30, 100, 300, 1000)
PUBLISHED_HEIGHTS = 500  # the package calls itself once a level, and Python allows a thousand
KINDS = {
    "hyperstep": "hypersteps", "network": "networks", "towers": "towers", "operation": "operations", "chain": "chains",
    "matmul": "matmul", "linear": "linear", "sweep": "sweep", "start": "start", "memory": "memory",
}  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    rounds: turns of each row.  sizes, chain_sizes: elements of single operations and of chains.  heights: of towers.
    remembered: the workloads whose memory is measured.  starts: fresh processes of each kind, and sweeps.
    steps: of the run whose memory must stay flat.  swept: steps of each run of a sweep.
    without: peers that would take too long.
    """

    rounds: int
    workloads: tuple[str, ...]
    networks: tuple[str, ...]
    heights: tuple[int, ...]
    operations: tuple[str, ...]
    sizes: tuple[int, ...]
    chain_sizes: tuple[int, ...]
    shapes: tuple[Shape, ...]
    transposed: tuple[Shape, ...]
    remembered: tuple[str, ...]
    starts: int
    steps: int
    swept: int
    without: tuple[str, ...] = ()


FULL = Plan(
    rounds=6,
    workloads=tuple(HYPERSTEPS),
    networks=tuple(NETWORKS),
    heights=HEIGHTS,
    operations=tuple(OPERATIONS),
    sizes=tuple(SIZES),
    chain_sizes=tuple(CHAIN_SIZES),
    shapes=PLAIN,
    transposed=TRANSPOSED,
    remembered=(*(name for name in HYPERSTEPS if HYPERSTEPS[name].problem is not SMALL), IMAGES),
    starts=2,
    steps=10_000_000,
    swept=10_000,
)
QUICK = Plan(
    rounds=3,
    workloads=("MLP, Adam/SGD", "teaching-size net, Adam/SGD"),
    networks=(),
    heights=(0, 1, 10, 100),
    operations=("add", "tanh"),
    sizes=(1, 10_000, 1_000_000),
    chain_sizes=(10_000, 1_000_000),
    shapes=(PLAIN[0], PLAIN[4]),
    transposed=(TRANSPOSED[0], TRANSPOSED[16]),
    remembered=("MLP, Adam/SGD",),
    starts=1,
    steps=100_000,
    swept=500,
    without=("torch_compile", "autograd", "digits"),
)


def hypersteps(plan: Plan) -> list[Task]:
    tasks = []
    for name in plan.workloads:
        workload = HYPERSTEPS[name]
        rows = (*TRAINING_ROWS, *ROWS_OF.get(workload.problem, ()))
        # Without the levels above, plain PyTorch computes the same only where there are none.
        differing = {NO_TOWER, FLOOR} if len(workload.tower) > 1 else {FLOOR}
        alike = tuple(row.label for row in rows if row.label not in differing)
        tasks.append(Task("hyperstep", name, (workload,), rows, alike, 0.15))
    return tasks


def labelled(labels: tuple[str, ...]) -> tuple[Row, ...]:
    """The rows of these labels, in the order of all."""
    return tuple(row for row in TRAINING_ROWS if row.label in labels)


def networks(plan: Plan) -> list[Task]:
    tasks = []
    for name in plan.networks:
        rows = labelled(NETWORK_LABELS) + ((CHANNELS_ROW,) if name == IMAGES else ())
        # In float32 no two ResNets stay together: rounding turns the sign of some arguments of relu, and that grows.
        alike = (OURS, CALLED, *PUBLISHED) if name != IMAGES else ()
        tasks.append(Task("network", name, (NETWORKS[name],), rows, alike, 1.0))
    return tasks


def towers(plan: Plan) -> list[Task]:
    low = [height for height in plan.heights if height <= PUBLISHED_HEIGHTS]
    high = [height for height in plan.heights if height > PUBLISHED_HEIGHTS]
    together = Task(
        "towers", f"towers of SGD to height {low[-1]}", (low,), labelled(TOWER_LABELS), TOWER_LABELS, 0.03
    )
    ours = TOWER_LABELS[:3]
    alone = [
        Task("towers", f"a tower of height {height}", ([height],), labelled(ours), ours, 0.1) for height in high
    ]
    return [together, *alone]


def operations(plan: Plan) -> list[Task]:
    tasks = []
    for name in plan.operations:
        for backward in (False, True):
            rows = tuple(row for row in ELEMENT_ROWS if not backward or row.label != "NumPy")
            title = f"{name}, forward and backward" if backward else name
            tasks.append(Task("operation", title, (name, list(plan.sizes), backward), rows, (), 0.015))
    return tasks


def chains(plan: Plan) -> list[Task]:
    rows = (Row(OURS, "tinyhyper", "fused"), Row(f"{OURS}, not fused", "tinyhyper"), *ELEMENT_ROWS[1:])
    return [Task("chain", f"chain of {n} operations", (n, list(plan.chain_sizes)), rows, (), 0.03) for n in CHAINS]


def products(plan: Plan) -> list[Task]:
    return [
        Task("matmul", "matmul", (list(plan.transposed),), MATRIX_ROWS, (), 0.015),
        Task("linear", "linear+bias+tanh", (list(plan.shapes),), MATRIX_ROWS, (), 0.03),
    ]


def tasks(plan: Plan, only: tuple[str, ...]) -> list[Task]:
    """Everything that takes turns; of the kinds in `only`, if any are named."""
    made = [*hypersteps(plan), *networks(plan), *towers(plan), *operations(plan), *chains(plan), *products(plan)]
    chosen = [task for task in made if not only or KINDS[task.kind] in only]
    return [task._replace(rows=tuple(row for row in task.rows if row.peer not in plan.without)) for task in chosen]
