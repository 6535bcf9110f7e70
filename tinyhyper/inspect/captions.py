"""What the boxes, lanes and arrows of a figure are called."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise
from math import ceil, inf
from textwrap import wrap

from ..errors import ArgumentError
from ..naming import KAPPA, LOSS, own
from ..plain import NONE_YET, plain, short
from .letters import clip, clipped, first, fitted, wide
from .rows import SKIPPED, SMALL, needed, number, told, tuned, with_state
from .shapes import FIXED, Box, Figure, Key, Mark
from .text import listed, site

FEW, FEW_CUTS = 4, 3  # so many rows a box may have; so many cuts are named one by one
LEGEND = {
    "kept": "kept: the gradient flows back along it",
    "cut": "cut: the value passes, the gradient stops",
    "idle": "cut where the gradient would end without it, too",
    "asked": "without its cut: the gradient would flow back",
    "backward": "backward() leaves a gradient in .grad",
    "value": "a constant, or no gradient recorded",
    "gradient": "a gradient in .grad",
    "gate": "gate: the value passes, the gradient of this loss stops",
}
CARRY = "the path of a value, which passes the cut; a gradient stops there"
ONLY: dict[Mark, str] = {
    "first": "only in the first recording: pale",
    "second": "only in the second recording",
    "cut-first": "in both, cut in the first",
    "cut-second": "in both, cut in the second",
    "value-first": "in both, without a graph in the first",
    "value-second": "in both, without a graph in the second",
}
BRANCH = "other paths; a green number is what all along its band contribute"
LETTERS, ENDS = 15, 24  # the size of letters in a box of one value; its margin, both sides together
WIDEST = {"values": 170, "loss": 170, "gradient": 230}  # that a box is for its texts
LANE = 25  # characters of a line in the margin


class Captions:
    """The texts of one figure. found: by name, the boxes that it may be of."""

    def __init__(self, shown: Figure) -> None:
        self.figure = shown
        self.found: dict[str, list[Key]] = {}
        for key in shown.boxes:
            for name in self._names(key):
                self.found.setdefault(name, []).append(key)

    def find(self, box: str | tuple[int, int, str]) -> Key:
        """The box of a name such as "alpha[2]" or "loss[2]", or of a key.

        Raises ArgumentError if it is not drawn, or if the name is that of several.
        """
        boxes = [key for key in self.figure.boxes if key == box]
        keys = self.found.get(plain(box), []) if isinstance(box, str) else boxes
        if len(keys) > 1:
            exact = " or ".join(repr(self._called(key, exact=True)) for key in keys)
            raise ArgumentError(f"{box!r} may be one of several boxes of this picture: ask for {exact}")
        if not keys:
            raise ArgumentError(
                f"the picture of steps {self.figure.steps[0]} to {self.figure.steps[-1]} has no box {box!r}; "
                f"its boxes are {', '.join(map(self.name, self.figure.boxes))}"
            )
        return keys[0]

    def name(self, key: Key) -> str:
        """What a box is called outside its lane, so that it cannot be taken for another."""
        called = self._called(key)
        return called if len(self.found.get(called, [])) < 2 else self._called(key, exact=True)

    def brief(self, key: Key) -> str:
        """What a box is called in a sentence: of several weights, how many there are."""
        if key.lane or key.kind == "loss":
            return self.name(key)
        names = self.figure.boxes[key].names
        one = f"{len(names)} weights" if len(names) > 1 else "".join([own(name, 0).title for name in names])
        one = f"{one}[{key.step}]"
        return f"∂loss[{key.step}]/∂{one}" if key.kind == "gradient" else one

    def _called(self, key: Key, exact: bool = False) -> str:
        if key.kind == "loss":
            return f"{LOSS.exact if exact else LOSS.name}[{key.step}]"
        names = self.figure.fixed[key.lane] if key.step == FIXED else self.figure.boxes[key].names
        found = {name: own(name, key.lane).exact if exact else own(name, key.lane).title for name in names}
        if key.kind == "gradient":
            found = {name: tuned(self.figure.boxes[key], name, text) for name, text in found.items()}
        several = f"({', '.join(found.values())})" if len(names) > 1 else "".join(found.values())
        if len(names) > FEW:
            level = f" of level {key.lane - 1}" if exact else ""
            several = f"({len(names)} values{level})" if key.lane else f"({len(names)} weights)"
        if key.kind == "gradient":
            return f"∂loss[{key.step}]/∂{several}[{key.step}]" if self.known(key) else f"∂loss/∂{several}"
        return several if key.step == FIXED else f"{several}[{key.step}]"

    def marked(self, marks: Collection[int]) -> set[int]:
        """The numbers of cuts whose scissors stand out. Raises ArgumentError for one that is not drawn."""
        cuts = {cut.number for arrow in self.figure.arrows for cut in arrow.cuts}
        if missing := sorted({*marks} - cuts):
            raise ArgumentError(
                f"marks: cut {missing[0]} is not in the picture of steps {self.figure.steps[0]} to "
                f"{self.figure.steps[-1]}; its cuts are {', '.join(map(str, sorted(cuts))) or 'none'}"
            )
        return {*marks}

    def needs(self) -> tuple[float, float]:
        """How wide the texts in boxes are, and in those of gradients: of a row, its short name and its whole number."""
        widths = {"values": 0.0, "gradient": 0.0, "loss": 0.0}
        for key, box in self.figure.boxes.items():
            if 1 < len(box.names) <= FEW:
                need = needed(box)
            else:
                first, second = self.box(box)
                need = max(LETTERS * wide(first), SMALL * wide(second)) + ENDS
            widths[key.kind] = max(widths[key.kind], min(ceil(need) + 1, WIDEST[key.kind]))
        cuts = [numbered([cut.number for cut in arrow.cuts]) for arrow in self.figure.arrows if arrow.cuts]
        beside = [SMALL * wide(text) + 12 for text in cuts]  # which stands above and below gradients
        return max(widths["values"], widths["loss"]), max([widths["gradient"], *beside])

    def box(self, box: Box, width: float = inf) -> tuple[str, str]:
        """The two lines in a box of a width."""
        key, names, room = box.key, list(box.names), (width - ENDS) / LETTERS
        if key.kind == "loss":
            return f"loss[{key.step}]", "" if box.number is None else told(box, box.number)
        many = "values" if key.lane else "weights"
        norm = box.norms.get(names[0]) if len(names) == 1 else None
        remark = number(box, names[0]) if len(names) == 1 else ""
        remark = remark if remark in ("", SKIPPED) or norm is None else f"norm {remark}"
        if key.kind == "gradient":
            if not self.known(key):
                none = all(short(value) == NONE_YET for value in box.names.values())
                remark = NONE_YET if none else "loss is not shown"
            one = tuned(box, names[0], own(names[0], key.lane).title) if len(names) == 1 else many
            return fitted(f"∂loss/∂{one}", room), remark
        if box.skipped:
            remark = SKIPPED
        elif box.state:
            remark = with_state(box)
        elif len(names) > 1:
            remark = ", ".join(own(name, key.lane).title for name in names)
        one = own(names[0], key.lane).title if len(names) == 1 else f"{len(names)} {many}"
        at = f"[{key.step}]"
        return fitted(one, room - wide(at)) + at, clipped(remark, (width - ENDS) / SMALL)

    def title(self, box: Box) -> str:
        """All that is in a box."""
        lane, names = box.key.lane, [self.name(box.key), *(own(name, box.key.lane).title for name in box.names)]
        meant = [f"∂loss/∂{own(name, lane).title} = {told(box, value)}" for name, value in box.meant.items()]
        return ", ".join([*names, *sorted(box.state), *meant])

    def lane(self, lane: int, few: int, most: int) -> tuple[str, list[str]]:
        """A lane's heading, and the lines below it.

        few: so many rows a box may have.  most: for so many lines there is room.
        """
        boxes = [box for key, box in self.figure.boxes.items() if key.lane == lane and key.kind == "values"]
        fixed = self.figure.fixed.get(lane, {})
        tuned = self._tuned(lane)
        names = tuned or list(fixed)
        titles = [own(name, lane).title for name in names]
        listed = len(names) > (few if tuned else 1)
        heading, lines = "weights", []
        if lane:
            heading = titles[0] if len(names) == 1 else "hyperparameters"
            of = f"the {names[0]} of " if len(names) == 1 else f"{KAPPA}: alpha of " if KAPPA in titles else "of "
            lines.append(f"{of}level {lane - 1}")
        own_boxes = [name for box in boxes if not box.gone for name in box.names]
        still = [own(name, lane).title for name in fixed if name not in own_boxes]
        boxed = any(arrow.source == (lane, FIXED, "values") for arrow in self.figure.arrows)
        if tuned and still and (self.figure.alone is None or not boxed):
            lines.append(f"fixed: {', '.join(still)}")
        if listed and len(" ".join(lines)) < LANE:
            lines = [", ".join(lines)] if lines else []
        lines += [f"moved by {rule}, level {lane}" for rule in dict.fromkeys(box.rule for box in boxes if box.rule)]
        room = min(2 if len(lines) < 3 else 1, most - len(lines))
        lines = [*(listing(titles, room) if listed and room > 0 else []), *lines]
        return heading, [clip(line, LANE) for line in lines]

    def _tuned(self, lane: int) -> list[str]:
        """The names in a lane's boxes of values."""
        boxes = [box for key, box in self.figure.boxes.items() if key.lane == lane and key.kind == "values"]
        return list(dict.fromkeys(name for box in boxes for name in box.names))

    def bar(self, lane: int, room: int) -> str:
        """The bar of a lane of hyperparameters that nothing tunes: the longest text that fits."""
        fixed = self.figure.fixed.get(lane, {})
        names = [own(name, lane).title for name in fixed]
        held = [name + ("" if value is None else f" = {short(value)}") for name, value in zip(names, fixed.values())]
        told, bare = ", ".join(held), ", ".join(names)
        texts = [f"{told}, fixed: nothing tunes it", f"{told}, fixed", told, f"{bare}, fixed", bare]
        return next((text for text in texts if len(text) <= room), clip(texts[-1], room))

    def still(self, lane: int) -> str:
        """What a lane's arrow of constants is called, in a few letters: its hyperparameters that nothing tunes."""
        return first([", ".join(map(plain, self.figure.fixed.get(lane, {}))), "fixed"], 2.6)

    def known(self, gradient: Key) -> bool:
        """Whether the loss of a gradient is in the figure."""
        return any(arrow.target == gradient for arrow in self.figure.arrows)

    def flows(self) -> dict[str, str]:
        """What each kind of arrow means."""
        arrows = self.figure.visible()
        left_out = [cut.number for arrow in arrows if arrow.flow == "asked" for cut in arrow.cuts]
        kinds = [a.look for a in arrows] + [key.kind for key in self.figure.boxes]
        return meanings(kinds, left_out, self.figure.marks())

    def reached(self) -> str:
        """Which boxes the last loss sends a gradient to."""
        losses = [key for key in self.figure.boxes if key.kind == "loss"]
        if not losses:
            return ""
        loss = max(losses, key=lambda key: key.step)
        reached = listed(map(self.brief, self.figure.reached(loss))) or "nothing"
        return f"Along the kept edges, {self.name(loss)}.backward() reaches {reached}."

    def notes(self) -> list[str]:
        """How values differ that are printed alike; of one recording, by which lines of code the cuts were made, and
        what its picture is to say.
        """
        differ = self._differences()[:FEW]
        return differ if self.figure.alone is not None else [*differ, *filter(None, [self._made()]), *self.figure.notes]

    def _differences(self) -> list[str]:
        """By how much a value differs from the one before, where both are printed alike."""
        found = []
        boxes = {key: box for key, box in sorted(self.figure.boxes.items()) if key.kind == "values" and not box.gone}
        for (before, old), (key, new) in pairwise(boxes.items()):
            for name, value in new.names.items() if before.lane == key.lane and not new.skipped else ():
                was, called = old.names.get(name), own(name, key.lane).title
                if value is None or was is None or value == was or short(value) != short(was):
                    continue
                found.append(f"{called} moved by {short(value - was, 2)}, from [{before.step}] to [{key.step}]")
        return found

    def _made(self) -> str:
        places = listed((site(cut) for arrow in self.figure.arrows for cut in arrow.cuts), 3)
        return f"the cuts were made in {places}" if places else ""

    def description(self) -> str:
        """The figure in words."""
        told = []
        for flow in ("kept", "cut"):
            arrows = [arrow for arrow in self.figure.arrows if arrow.flow == flow and not arrow.gone]
            joined = [f"{self.name(arrow.source)} to {self.name(arrow.target)}" for arrow in arrows]
            told.append(f"{len(joined)} edges are {flow}: {'; '.join(joined) or 'none'}.")
        return " ".join(told)

    def _names(self, key: Key) -> list[str]:
        """The names by which a box can be asked for: its own, and those of the values in it."""
        names = [self._called(key), self._called(key, exact=True)]
        for name in self.figure.boxes[key].names if key.kind == "values" else ():
            value = own(name, key.lane)
            names += [f"{called}[{key.step}]" for called in (value.title, value.by_level, value.exact)]
        return list(dict.fromkeys(names))


def meanings(flows: Collection[str], left_out: Sequence[int], marks: Collection[str]) -> dict[str, str]:
    """What kinds of arrows and boxes mean.

    left_out: the cuts without which some are drawn.  marks: how some differ between two recordings.
    """
    found = {flow: words for flow, words in LEGEND.items() if flow in flows}
    if "backward" in found:  # its key has a gradient, too
        found.pop("gradient", None)
    if "asked" in found:
        found["asked"] = found["asked"].replace("its cut", numbered(left_out))
    return found | {which: words for which, words in ONLY.items() if which in marks}


def column(step: int) -> str:
    """What a column is called: it holds what was computed from one step to the next, whose arrows lead out of it."""
    return f"after step {step}" if step else "before step 1"


def listing(names: Sequence[str], most: int) -> list[str]:
    """As many names as fit into so many lines of the margin, and how many more there are."""
    for n in range(len(names), 0, -1):
        more = f" and {len(names) - n} more" if n < len(names) else ""
        lines = wrap(", ".join(names[:n]) + more, LANE)
        if len(lines) <= most:
            break
    return lines[:most]


def numbered(cuts: Sequence[int]) -> str:
    """Cuts by their numbers: the first and the last of many, and how many they are if others are between."""
    s, first, last = "" if len(cuts) == 1 else "s", min(cuts), max(cuts)
    if len(cuts) <= FEW_CUTS:
        return f"cut{s} {', '.join(map(str, sorted(cuts)))}"
    some = "" if len(cuts) == last - first + 1 else f"{len(cuts)} of the "
    return f"{some}cuts {first} … {last}"
