"""Lines of experiments that nobody has run, for tests of tables and pictures."""

from demos.paper import Line

PNG = b"\x89PNG\r\n\x1a\n"
RECORD = {
    "threads": 1, "command": "python -m demos paper table1", "processor": "a processor", "cores": 2, "system": "Linux",
    "python": "3.10.0", "numpy": "2.0.0", "tinyhyper": "0.1.0",
}  # fmt: skip


def line(run, ended=10.0, seconds=4.0, **result):
    return Line(run, {"diverged": False, **result}, {**RECORD, "ended": ended, "seconds": seconds})
