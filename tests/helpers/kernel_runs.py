"""A program and a kernel, to run in processes of their own with a folder for kernels."""

import os
import subprocess
import sys

KERNEL = """
def kernel(x, out):
    out[0] = x[0] + 0.{serial}
"""

PROGRAM = """
import numpy as np
import tinyhyper as th
x = th.tensor(np.linspace(-1, 1, 7), requires_grad=True)
y = th.fuse(lambda a, b: (a * b + 0.25, th.tanh(a)))(x, th.tensor(2.0, requires_grad=True))
th.sum(y[0] * y[1]).backward()
print(x.grad.data.tobytes().hex())
"""

COMPILES = "tinyhyper: what a replayed step calls is compiled"  # a line that is not there where all is kept


def run(folder, program=PROGRAM, wait=True, **environment):
    """The program in a process of its own, with its kernels in the folder; what it prints."""
    settings_ = {**os.environ, "TINYHYPER_CACHE": str(folder), "PYTHONPATH": os.pathsep.join(sys.path), **environment}
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", program],
        env=settings_,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    return output_of(process) if wait else process


def output_of(process):
    out, err = process.communicate(timeout=120)
    told = [line for line in err.splitlines() if not line.startswith(COMPILES)]
    assert process.returncode == 0 and not told, err
    return out
