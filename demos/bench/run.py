"""A run's data, as it is kept in performance.json, and how tables find their numbers in it."""

from __future__ import annotations

from typing import Any

Rows = dict[str, dict[str, Any]]  # by label
TRAININGS = ("hyperstep", "network")


class Run:
    """machine: facts.  records: what took turns.  starts, memory: fresh processes.  growth: long runs."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.data = data
        self.threads: list[int] = data["machine"]["threads"]

    def records(self, kind: str, threads: int) -> list[dict[str, Any]]:
        """What was measured of a kind, in its order."""
        return [r for r in self.data["records"] if r["kind"] == kind and r["threads"] == threads]

    def parts(self, kind: str, threads: int, name: str | None = None) -> dict[str, Rows]:
        """By part, such as a size or a shape, the rows by label; of the records of one name, or of a kind."""
        found: dict[str, Rows] = {}
        for record in self.records(kind, threads):
            if name in (None, record["name"]):
                for row in record["rows"]:
                    found.setdefault(row["part"], {})[row["label"]] = row
        return found

    def training(self, name: str, threads: int) -> Rows:
        """The rows of one workload, of an MLP or of a network."""
        return {label: row for kind in TRAININGS for label, row in self.parts(kind, threads, name).get("", {}).items()}

    def names(self, kind: str) -> list[str]:
        """The names of a kind, in their order, over all thread counts."""
        return list(dict.fromkeys(r["name"] for r in self.data["records"] if r["kind"] == kind))

    def left_out(self, kind: str, name: str) -> dict[str, str]:
        """By label, why a row is missing."""
        found: dict[str, str] = {}
        for record in self.data["records"]:
            if record["kind"] == kind and record["name"] == name:
                found |= record["left_out"]
        return found

    def others(self) -> list[str]:
        """The rows, each with its workload, that came to other numbers than ours."""
        return [
            f"{record['name']}: {label} {why}"
            for record in self.data["records"]
            for label, why in record["left_out"].items()
            if "other numbers" in why
        ]


def best(rows: Rows, labels: tuple[str, ...]) -> float | None:
    """The least median of those that are there, in seconds."""
    return min((rows[label]["median"] for label in labels if label in rows), default=None)
