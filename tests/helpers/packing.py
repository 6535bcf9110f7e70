"""What `tinyhyper/inspect/packing.py` packed, as the page reads it."""

from itertools import accumulate


def unpacked(column):
    if isinstance(column, list):
        return column
    keys = set(column)
    if keys == {"of", "at"}:
        at = [0] * column["at"] if isinstance(column["at"], int) else column["at"]
        return [column["of"][n] for n in at]
    if keys == {"sum"}:
        return [*accumulate(column["sum"])]
    if keys == {"some", "found"}:
        found = iter(unpacked(column["found"]))
        return [next(found) if some else None for some in unpacked(column["some"])]
    if keys == {"lengths", "items"}:
        items = iter(unpacked(column["items"]))
        return [[next(items) for _ in range(length)] for length in unpacked(column["lengths"])]
    assert keys == {"fields"}
    if isinstance(column["fields"], list):
        return [list(row) for row in zip(*map(unpacked, column["fields"]))]
    return [dict(zip(column["fields"], row)) for row in zip(*map(unpacked, column["fields"].values()))]
