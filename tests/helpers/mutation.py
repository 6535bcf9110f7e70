"""Mutation testing: which of the faults planted in core, fusion, ops and optim do the tests catch?

    PYTHONPATH=. python tests/helpers/mutation.py FOLDER [--files "core/*.py" "optim/*.py"] [--sample 1000 --seed 1]

plants each fault of mutants.py in a process of its own, which runs tests that come near it until one fails. Results are
kept in FOLDER, so a run that was stopped goes on. In the end docs/mutation.md is written: the score, and what survives,
with the reasons in reference/mutation.json.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import math
import os
import random
import resource
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from importlib.machinery import SourceFileLoader
from itertools import accumulate, zip_longest
from pathlib import Path
from time import perf_counter, sleep
from typing import Any, NamedTuple
from xml.etree import ElementTree

import mutation_page

HELPERS = Path(__file__).resolve().parent
ROOT = HELPERS.parents[1]
KILLERS, FEW = 20, 3  # tests that are run first, and files whose tests come next
SLOWEST, MOST = 3.0, 100.0  # seconds: of a test that is used, and of the tests of one lot
SURFACE = "tests/ops/test_operation.py"  # looks at signatures, so it runs no line of any operation
PATIENCE, WAITING = 3.0, 10.0  # times the tests' own: processor time that they may take, and time on the clock
START = 30.0  # seconds to import and collect
MEMORY = 4 << 30  # bytes that the tests of a fault may take
LEFT_OUT = (
    "inspect/test_page", "inspect/test_page_panel", "demos/test_site_browser",
    "demos/test_experiment", "demos/test_demos", "demos/test_soak",
)  # fmt: skip


class Verdict(NamedTuple):
    """result: killed, survived, or "not a program".  by: the test that failed, or "crash".  tests: how many ran."""

    fault: str
    result: str
    by: str = ""
    tests: int = 0
    seconds: float = 0.0


# ---- The tests that come near a fault


def measure(folder: Path) -> None:
    """Run the tests once without a fault: which lines each one runs, and how long it takes."""
    environment = {**os.environ, "CI": "1", "COVERAGE_FILE": str(folder / "lines"), "PYTHONPATH": f"{ROOT}:{HELPERS}"}
    left_out = [f"--ignore=tests/{name}.py" for name in LEFT_OUT]
    tests = ["-m", "pytest", "-q", "-m", "", "-n", "auto", "-p", "mutation", *left_out]
    cover = ["--cov=tinyhyper", "--cov-context=test", "--cov-report=", "--cov-fail-under=0"]
    times = f"--junitxml={folder / 'tests.xml'}"
    subprocess.run([sys.executable, *tests, *cover, times], cwd=ROOT, env=environment, check=True)


def pytest_runtest_setup() -> None:
    """A plugin of the measurement: each test traces its rules anew, so that all tests of a rule's line are known."""
    from tinyhyper.optim import update

    update._traced.cache_clear()


class Reach:
    """The quicker tests, and which lines of which file each of them runs."""

    def __init__(self, folder: Path) -> None:
        from coverage import CoverageData

        cases = ElementTree.parse(folder / "tests.xml").iter("testcase")
        seconds = {f"{c.get('classname')}::{c.get('name')}": float(c.get("time") or 0) for c in cases}
        data = CoverageData(str(folder / "lines"))
        data.read()
        self.seconds: dict[str, float] = {}
        self.lines: dict[str, dict[int, set[str]]] = {}
        for path in data.measured_files():
            lines = self.lines[str(Path(path).relative_to(ROOT / "tinyhyper"))] = {}
            for line, contexts in data.contexts_by_lineno(path).items():
                tests = {context.partition("|")[0] for context in contexts if context}
                for test in tests - set(self.seconds):
                    file, _, name = test.partition("::")
                    self.seconds[test] = seconds.get(f"{file.removesuffix('.py').replace('/', '.')}::{name}", SLOWEST)
                lines[line] = {test for test in tests if self.seconds[test] < SLOWEST}

    def lots(self, fault: Any, killers: Counter[str]) -> list[list[str]]:
        """What caught other faults of the file, and tests of few files that run the line; then all that come near.

        Each lot has a process, which takes a while to collect the tests of many files. A function that is traced or
        compiled once is run by the first test that needs it, so its lines' tests are not all.
        """
        known = [test for test, _ in killers.most_common(KILLERS) if test in self.seconds]
        lines = self.lines[fault.file]
        stem = Path(fault.file).stem.strip("_")
        own = f"/test_{stem}"
        alike = {
            test
            for test, seconds in self.seconds.items()
            if (test.startswith(SURFACE) or own in test.partition("::")[0]) and seconds < SLOWEST
        }
        tests = lines.get(fault.line) or next((lines[n] for n in sorted(lines) if n > fault.line and lines[n]), alike)
        files = self._files(tests)
        order = sorted(files, key=lambda file: (own not in file, -len(files[file]), file))
        first = [*dict.fromkeys([*known, *[test for file in order[:FEW] for test in files[file]]])]
        rest = [test for lot in (tests, alike, self._near(fault.file)) for test in self._mixed(lot - set(first))]
        return [self._within(lot) for lot in (first, [*dict.fromkeys(rest)]) if lot]

    def _near(self, file: str) -> set[str]:
        """The tests that run anything of the file; of optim, anything of the folder, as its parts work together."""
        files = [f for f in self.lines if f.startswith("optim/")] if file.startswith("optim/") else [file]
        return {test for name in files for tests in self.lines[name].values() for test in tests}

    def _files(self, tests: Iterable[str]) -> dict[str, list[str]]:
        """By file, the quickest first."""
        found: dict[str, list[str]] = {}
        for test in sorted(tests, key=lambda test: (self.seconds[test], test)):
            found.setdefault(test.partition("::")[0], []).append(test)
        return found

    def _mixed(self, tests: Iterable[str]) -> list[str]:
        """One of each file, then another of each, and so on."""
        return [test for row in zip_longest(*self._files(tests).values()) for test in row if test]

    def _within(self, tests: list[str]) -> list[str]:
        totals = accumulate(self.seconds[test] for test in tests)
        return [test for test, total in zip(tests, totals) if total <= MOST]


# ---- One fault


class Planted(SourceFileLoader):
    """Finds and loads one module, from a source with a fault in it."""

    def __init__(self, file: str, source: str) -> None:
        name = ".".join(("tinyhyper", *Path(file).with_suffix("").parts)).removesuffix(".__init__")
        super().__init__(name, str(ROOT / "tinyhyper" / file))
        self.source = source

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != self.name:
            return None
        inside = [str(Path(self.path).parent)] if self.path.endswith("__init__.py") else None
        return importlib.util.spec_from_file_location(name, self.path, loader=self, submodule_search_locations=inside)

    def get_code(self, fullname: str) -> Any:
        return compile(self.source, self.path, "exec")


class Chosen:
    """A plugin of pytest's: runs some tests only, in their order; hypothesis need not shrink what fails."""

    def __init__(self, tests: list[str]) -> None:
        self.place = {test: n for n, test in enumerate(tests)}
        self.failed = ""

    def pytest_configure(self) -> None:
        from hypothesis import Phase, settings

        settings.register_profile("mutation", settings(), phases=[Phase.explicit, Phase.generate])
        settings.load_profile("mutation")

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        items[:] = sorted([item for item in items if item.nodeid in self.place], key=lambda i: self.place[i.nodeid])

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.failed = self.failed or report.nodeid


def judge(fault: Any, lots: list[tuple[list[str], float]]) -> Verdict:
    """Plant a fault and run lots of tests, each with the seconds that it may take, until one fails."""
    import mutants

    began, by, count = perf_counter(), "", 0
    try:
        compile(source := mutants.planted(fault), fault.file, "exec")
    except SyntaxError:
        return Verdict(fault.key, "not a program")
    for tests, limit in lots:
        count += len(tests)
        if by := killer(source, fault.file, tests, limit):
            break
    return Verdict(fault.key, "killed" if by else "survived", by, count, round(perf_counter() - began, 2))


def killer(source: str, file: str, tests: list[str], limit: float) -> str:
    """The test that fails in a process with the fault; "crash" if that ends early or takes too long, else nothing."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            _run_planted(source, file, tests, limit, write)
        finally:
            os._exit(1)
    os.close(write)
    end = perf_counter() + WAITING * limit
    while not (ended := os.waitpid(child, os.WNOHANG)[0]) and perf_counter() < end:
        sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # with what the tests started
    if not ended:
        os.waitpid(child, 0)
    os.set_blocking(read, False)
    with open(read, "rb") as pipe:
        code, _, failed = (pipe.read() or b"-1 crash").decode().partition(" ")
    return "" if code in ("0", "5") else failed or "an import"


def _run_planted(source: str, file: str, tests: list[str], limit: float, pipe: int) -> None:
    import pytest

    os.setpgid(0, 0)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(limit), math.ceil(limit)))
    null = os.open(os.devnull, os.O_RDWR)
    for n in range(3):
        os.dup2(null, n)
    sys.meta_path.insert(0, Planted(file, source))  # type: ignore[arg-type]
    chosen = Chosen(tests)
    files = sorted({test.partition("::")[0] for test in tests})
    code = pytest.main(["-x", "-q", "-m", "", "-p", "no:cacheprovider", "-p", "no:xdist", *files], plugins=[chosen])
    os.write(pipe, f"{int(code)} {chosen.failed}".encode())
    os._exit(0)


def prepare(folder: Path) -> None:
    """In each process, before it forks: the libraries, and nothing of tinyhyper."""
    os.environ.update(CI="1", TINYHYPER_CACHE=str(folder / "kernels"))
    os.chdir(ROOT)
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]
    for name in ("hypothesis.strategies", "mpmath", "numba", "numpy.testing", "pytest"):
        importlib.import_module(name)


# ---- All of them


def known(folder: Path) -> dict[str, Verdict]:
    """What was found before."""
    path = folder / "verdicts.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return {verdict.fault: verdict for verdict in (Verdict(**json.loads(line)) for line in lines)}


def try_all(folder: Path, faults: list[Any], jobs: int, again: bool) -> None:
    """Judge those that were not yet; survivors too if they are to be tried again."""
    before, reach, counts = known(folder), Reach(folder), Counter[str]()
    killers: dict[str, Counter[str]] = defaultdict(Counter)
    for verdict in before.values():
        killers[verdict.fault.partition(":")[0]][verdict.by] += 1
    done = {key for key, verdict in before.items() if not (again and verdict.result == "survived")}
    faults = [fault for fault in faults if fault.key not in done]
    with (
        ProcessPoolExecutor(jobs, initializer=prepare, initargs=(folder,)) as pool,
        (folder / "verdicts.jsonl").open("a") as out,
    ):
        running: dict[Any, str] = {}
        for n, fault in enumerate([*faults, *[None] * jobs]):
            if fault is not None:
                lots = reach.lots(fault, killers[fault.file])
                limited = [(tests, START + PATIENCE * sum(map(reach.seconds.get, tests))) for tests in lots]
                running[pool.submit(judge, fault, limited)] = fault.file
            for share in wait(running, return_when=FIRST_COMPLETED).done if n >= jobs else ():
                verdict, file = share.result(), running.pop(share)
                killers[file][verdict.by] += 1
                print(json.dumps(verdict._asdict()), file=out, flush=True)
                counts[verdict.result] += 1
                print(f"\r{dict(counts)} of {len(faults):,}", end="", flush=True)
    print()


def main() -> None:
    import mutants

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where results are kept")
    parser.add_argument("--files", nargs="+", default=mutants.FILES, help="patterns below tinyhyper/")
    parser.add_argument("--sample", type=int, help="so many of the faults, at random; all of them if not given")
    parser.add_argument("--seed", type=int, default=0, help="draws the sample")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("--again", action="store_true", help="also what survived before, as there may be new tests")
    options = parser.parse_args()
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "lines").exists():
        measure(folder)
    faults = mutants.faults(options.files)
    chosen = random.Random(options.seed).sample(faults, len(faults))[: options.sample]  # a larger one holds this
    try_all(folder, chosen, options.jobs, options.again)
    results = {key: verdict.result for key, verdict in known(folder).items() if verdict.result != "not a program"}
    found = [(f.file, results[f.key], mutants.shown(f)) for f in chosen if f.key in results]
    mutation_page.store(len(faults), found)
    mutation_page.write()


if __name__ == "__main__":
    main()
