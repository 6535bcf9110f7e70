"""How many examples hypothesis tries, and what all tests share.

Kernels stay in the user's cache folder, so that only the first run of the suite compiles them.
"""

import gc
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import reading
from backends import THERE, compiler_is_off, elementwise_backend, kernels
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).parents[1]
pytest_plugins = ["tinyhyper.testing.plugin"]

settings.register_profile(
    "tinyhyper",
    deadline=None,  # the first call of a kernel compiles it
    max_examples=20,
    print_blob=True,
    derandomize=bool(os.environ.get("CI")),  # a pull request must not fail for what another one broke
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("quick", settings.get_profile("tinyhyper"), max_examples=10)


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a shell; what tests start inherits it
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config):
    """Of half the examples where slow tests are left out; of all where they are asked for, and without the compiler."""
    quick = config.option.markexpr == "not slow" and not compiler_is_off()
    settings.load_profile("quick" if quick else "tinyhyper")


@pytest.fixture(autouse=True, scope="module")
def _collector_starts_anew():
    """What earlier files keep is not searched again by each test that asks what is alive: that took a second a test."""
    gc.collect()
    gc.freeze()


def pytest_generate_tests(metafunc):
    """Where a test is about numbers and not about kernels, only `-m slow` compiles these: most would be used once."""
    if metafunc.definition.get_closest_marker("either_backend"):
        backends = ["numpy", pytest.param("auto", marks=pytest.mark.slow)]
        metafunc.parametrize("_backend", backends, indirect=True)


@pytest.fixture(autouse=True)
def _backend(request):
    """A test begins with the backend that is chosen for it; it may force another; the next one finds "auto" again."""
    elementwise_backend(getattr(request, "param", "auto"))
    yield
    elementwise_backend("auto")


@pytest.fixture
def as_compiled(monkeypatch):
    """Whatever is left to kernels where there is a compiler, is so without one too: they run as plain Python then."""
    if THERE and compiler_is_off():
        elementwise_backend("numba")  # plans are remembered by the backend that was in force
        for name in ("convolution", "matmul", "quicker", "recurrent", "softmax"):
            monkeypatch.setattr(kernels(name), "compiler_is_off", lambda: False)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    if reading.CHROMIUM is None or reading.DRIVER is None:
        pytest.skip("Chromium or its driver is not installed")
    driver = reading.browser(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()


@pytest.fixture
def reader(chromium, tmp_path):
    """Someone who reads a page, which asks for nothing and of which the browser complains about nothing."""
    reader = reading.Reader(chromium, tmp_path)
    yield reader
    chromium.switch_to.default_content()
    reader.system("")
    reader.size()
    assert chromium.get_log("browser") == []
    assert reader.ask("return performance.getEntriesByType('resource').map((entry) => entry.name)") == []


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The folder of the built site: a new one, if .ci/run has built none."""
    if built := os.environ.get("TINYHYPER_SITE"):
        return Path(built)
    for name in ("sphinx", "myst_nb"):
        pytest.importorskip(name, reason="the site needs the extra docs")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "docs", folder]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0 and not built.stderr, built.stderr
    return folder
