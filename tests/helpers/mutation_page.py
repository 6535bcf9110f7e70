"""docs/mutation.md: the score of mutation.py by file, and every fault that survives with the reason why.

reference/mutation.json holds what was found, and the reasons; `PYTHONPATH=. python tests/helpers/mutation_page.py`
writes the page anew from it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
STORE = ROOT / "tests" / "reference" / "mutation.json"
PAGE = ROOT / "docs" / "mutation.md"
BEGIN = "<!-- From here on, tests/helpers/mutation.py writes this page. -->\n"
UNEXPLAINED = "not explained yet"


def stored() -> dict[str, Any]:
    """faults: how many there are.  files: killed and survived by file.  survivors: file, before, after, why."""
    return json.loads(STORE.read_text())


def store(faults: int, found: Iterable[tuple[str, str, tuple[str, str]]]) -> None:
    """Keep what was found: file, result, and the fault's text, before and after. Reasons that were given stay."""
    known = stored()["survivors"] if STORE.exists() else []
    reasons = {(s["file"], s["before"], s["after"]): s["why"] for s in known}
    files: dict[str, list[int]] = {}
    survivors = []
    for file, result, (before, after) in sorted(found):
        counts = files.setdefault(file, [0, 0])
        counts[result == "survived"] += 1
        if result == "survived":
            why = reasons.get((file, before, after), UNEXPLAINED)
            survivors.append({"file": file, "before": before, "after": after, "why": why})
    STORE.write_text(json.dumps({"faults": faults, "files": files, "survivors": survivors}, indent=1) + "\n")


def page() -> str:
    """What follows the page's words."""
    found = stored()
    killed, survived = (sum(counts[n] for counts in found["files"].values()) for n in (0, 1))
    lines = [
        (
            f"Planted: {killed + survived:,} of {found['faults']:,} faults. Caught: {killed:,}, "
            f"{100 * killed / (killed + survived):.1f} %. Survived: {survived:,}.\n"
        ),
        "| file | planted | caught | share |\n| --- | --- | --- | --- |",
        *[f"| {file} | {k + s} | {k} | {100 * k / (k + s):.0f} % |" for file, (k, s) in found["files"].items()],
        "\n## What survives, and why",
    ]
    for why in sorted({s["why"] for s in found["survivors"]}):
        lines.append(f"\n**{why[0].upper()}{why[1:]}**\n\n| file | line | with the fault |\n| --- | --- | --- |")
        rows = [s for s in found["survivors"] if s["why"] == why]
        lines += [f"| {s['file']} | {_code(s['before'])} | {_code(s['after'])} |" for s in rows]
    return "\n".join(lines) + "\n"


def _code(text: str) -> str:
    short = text if len(text) <= 160 else text[:157] + "..."
    return "`" + short.replace("|", "\\|").replace("`", "'") + "`"


def write() -> None:
    head = PAGE.read_text().partition(BEGIN)[0]
    PAGE.write_text(f"{head}{BEGIN}\n{page()}")


if __name__ == "__main__":
    write()
