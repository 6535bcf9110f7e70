"""The machine and the versions that a run was measured with."""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import tinyhyper as th
from tinyhyper.kernels.threads import available

from .turns import Left, Worker

PACKAGES = ("numpy", "numba", "llvmlite", "torch", "gradient-descent-the-ultimate-optimizer", "jax", "jaxlib",
            "mygrad", "autograd")  # fmt: skip
WIDTHS = {"avx512f": "AVX-512 (512 bits)", "avx2": "AVX2 (256 bits)", "asimd": "NEON (128 bits)"}


def facts(threads: list[int]) -> dict[str, Any]:
    """Processor, vector width, cores, NumPy's BLAS, and versions."""
    processor, flags = cpuinfo()
    width = next((width for flag, width in WIDTHS.items() if flag in flags), "not known")
    return {
        "processor": processor,
        "vectors": width,
        "cores": available(),
        "threads": threads,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "blas": blas(max(threads)),
        "versions": {"tinyhyper": th.__version__} | {name: version(name) for name in PACKAGES},
    }


def cpuinfo() -> tuple[str, set[str]]:
    """The processor's name and its flags, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine(), set()
    found = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    name = found.get("model name") or platform.machine()
    model = [found[key] for key in ("cpu family", "model") if key in found]
    return name + (f", family {', model '.join(model)}" if model else ""), set(
        found.get("flags", found.get("Features", "")).split()
    )


def version(package: str) -> str:
    """A package's version."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def blas(threads: int) -> str:
    """NumPy's BLAS and the kernel that it chose for this processor."""
    try:
        worker = Worker("numpy", threads)
        try:
            pools = worker.ask("pools")
        finally:
            worker.end()
    except Left as left:
        return str(left)
    unknown = dict.fromkeys(("internal_api", "version", "architecture"), "?")
    return "; ".join("{internal_api} {version}, kernel {architecture}".format_map(unknown | p) for p in pools)
