"""One hypothesis profile for the whole suite.

Kernels stay in the user's cache folder, so that only the first run of the suite compiles them.
"""

import os

import pytest
from hypothesis import HealthCheck, settings

from tinyhyper.kernels.plan import elementwise_backend

pytest_plugins = ["tinyhyper.testing.plugin"]

settings.register_profile(
    "tinyhyper",
    deadline=None,  # the first call of a kernel compiles it
    max_examples=20,
    print_blob=True,
    derandomize=bool(os.environ.get("CI")),  # a pull request must not fail for what another one broke
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("tinyhyper")


@pytest.fixture(autouse=True)
def _backend_as_before():
    """A test may force a backend; the next one finds "auto" again."""
    yield
    elementwise_backend("auto")
