"""The faults that mutation.py plants, one at a time: where cosmic-ray's operators apply in the engine's source."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator

PACKAGE = Path(__file__).resolve().parents[2] / "tinyhyper"
FILES = ("core/*.py", "interop.py", "derivatives.py", "fusion/*.py", "ops/*.py", "optim/*.py")

# Each operator is replaced by its opposite, a comparison also by the one that differs at equality. Left out: the other
# ten replacements of every operator, most of which no array takes; and names exchanged for other names.
PAIRS = {
    "Binary": "Add_Sub Sub_Add Mul_Div Div_Mul FloorDiv_Mul Mod_Mul Pow_Mul BitAnd_BitOr",
    "Comparison": "Eq_NotEq NotEq_Eq Lt_LtE Lt_GtE LtE_Lt LtE_Gt Gt_GtE Gt_LtE GtE_Gt GtE_Lt Is_IsNot IsNot_Is",
    "Unary": "Delete_USub",
}
OPERATORS = (
    *[f"Replace{kind}Operator_{pair}" for kind, pairs in PAIRS.items() for pair in pairs.split()],
    *("AddNot", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceAndWithOr", "ReplaceOrWithAnd"),
    *("ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "ExceptionReplacer", "NumberReplacer"),
    *("RemoveDecorator", "ZeroIterationForLoop"),
)


class Fault(NamedTuple):
    """The file below tinyhyper/, cosmic-ray's operator, which of its places in the file, and the line."""

    file: str
    operator: str
    occurrence: int
    line: int

    @property
    def key(self) -> str:
        return f"{self.file}:{self.operator}:{self.occurrence}"


def faults(files: Iterable[str] = FILES) -> list[Fault]:
    """All of them, by file."""
    return [fault for pattern in files for path in sorted(PACKAGE.glob(pattern)) for fault in _of(path)]


def _of(path: Path) -> list[Fault]:
    nodes, found = list(ast_nodes(get_ast(path.read_text()))), []
    for name in OPERATORS:
        operator = get_operator(f"core/{name}")()
        lines = [line for node in nodes for (line, _), _ in operator.mutation_positions(node)]
        found += [Fault(str(path.relative_to(PACKAGE)), name, n, line) for n, line in enumerate(lines)]
    return found


def planted(fault: Fault) -> str:
    """The file's source with the fault in it."""
    return mutate_code((PACKAGE / fault.file).read_text(), get_operator(f"core/{fault.operator}")(), fault.occurrence)


def shown(fault: Fault) -> tuple[str, str]:
    """The lines that the fault changes, before and after."""
    before, after = (PACKAGE / fault.file).read_text().splitlines(), planted(fault).splitlines()
    lines = [line for line in difflib.unified_diff(before, after, n=0, lineterm="") if line[:3] not in ("---", "+++")]
    return _joined(lines, "-"), _joined(lines, "+")


def _joined(lines: list[str], sign: str) -> str:
    return " ".join(" ".join(line[1:].split()) for line in lines if line.startswith(sign))
