"""What setup.cfg cannot say: PyPI shows the README, where a link or picture of this repository becomes its words."""

import re
from pathlib import Path

from setuptools import setup

readme = (Path(__file__).parent / "README.md").read_text(encoding="utf-8")
setup(long_description=re.sub(r"!?\[((?:[^][]|\[[^]]*\])*)\]\((?!https?://)[^)]*\)", r"\1", readme))
