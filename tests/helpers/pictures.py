"""Where things are in a picture: its texts, boxes and arrows, and which of them run into each other."""

import re
from functools import cache
from itertools import combinations, groupby, pairwise

import numpy as np
from matplotlib.font_manager import findfont
from PIL import ImageFont

SPACE = "{http://www.w3.org/2000/svg}"
SMALL = ("th-small", "th-reason", "th-row", "th-amount", "th-asked-for")
BOLD = ("th-title", "th-lane", "th-amount", "th-head")
ANCHORS = {"start": 0, "middle": 0.5, "end": 1}


def classes(root, name):
    """The elements of a class, without the legend's."""
    found = [element for element in root.iter() if name in element.get("class", "").split()]
    return [element for element in found if "th-key" not in element.get("class", "")]


@cache
def font(bold, size):
    """DejaVu Sans, the widest of the usual fonts."""
    return ImageFont.truetype(findfont("DejaVu Sans:bold" if bold else "DejaVu Sans"), size)


def size_of(text):
    """The size of a text's letters."""
    style = text.get("class")
    return 19 if style == "th-title" else 14 if style in SMALL else 15


def texts(root):
    """Every text with the rectangle that it covers in that font: left, top, right, bottom."""
    groups = {id(child): group for group in root.iter() for child in group}
    found = []
    for text in root.iter(SPACE + "text"):
        size = size_of(text)
        moved = re.findall(r"[-.\d]+", groups[id(text)].get("transform", "translate(0 0)"))
        x, y = (float(text.get(name)) + float(by) for name, by in zip("xy", moved))
        width = font(text.get("class") in BOLD, size).getlength(text.text)
        left = x - width * ANCHORS[text.get("text-anchor")]
        found.append((text.text, (left, y - 0.75 * size, left + width, y + 0.22 * size)))
    return found


def points(path):
    """Points along an arrow, about 2 apart."""
    corners = []
    for letter, numbers in re.findall(r"([MLHVQCh])([^MLHVQCh]*)", path):
        values = [float(number) for number in numbers.split()]
        x, y = corners[-1] if corners else (0, 0)
        if letter == "H":
            values = [values[0], y]
        elif letter == "h":
            values = [x + values[0], y]
        elif letter == "V":
            values = [x, values[0]]
        corners += zip(values[::2], values[1::2])
    found = []
    for (x0, y0), (x1, y1) in pairwise(key for key, _ in groupby(corners)):
        count = int(np.hypot(x1 - x0, y1 - y0) / 2) + 2
        found.append(np.linspace((x0, y0), (x1, y1), count))
    return np.concatenate(found)


def arrows(root):
    """Every arrow's flow and points."""
    return [(path.get("class"), points(path.get("d"))) for path in classes(root, "th-arrow")]


def tips(root, flow):
    """Where the tips of a flow's arrows point at, the legend's included, and whereto: in degrees, 0 to the right."""
    turns = [re.findall(r"[-.\d]+", tip.get("transform")) for tip in classes(root, f"th-tip-{flow}")]
    return [((float(x), float(y)), float(turn)) for x, y, turn, _ in turns]


def leaves(root, path, end):
    """Whether an arrow or a band has its tip at that end, and points out of it."""
    line = points(path.get("d"))[:: 1 if end == "start" else -1]
    x, y = line[0] - line[1]
    turn = np.degrees(np.arctan2(y, x))
    flow = path.get("class").split()[-1].removeprefix("th-")
    return any(np.allclose(at, line[0]) and np.isclose(turn, to, atol=0.1) for at, to in tips(root, flow))


def along(root, band, flow):
    """Whether a band runs along an arrow: beside it, if it points back."""
    a, aside = points(band.get("d")), 17 if leaves(root, band, "start") else 0
    lines = [points(path.get("d")) for path in classes(root, f"th-{flow}")]
    return any(np.hypot(*(a[:, None] - b[None]).transpose(2, 0, 1)).min(axis=1).max() < aside * 1.5 + 1 for b in lines)


def inside(root, shrink=0):
    """The rectangles of the boxes."""
    for rect in classes(root, "th-box"):
        x, y, wide, high = (float(rect.get(name)) for name in ("x", "y", "width", "height"))
        yield x + shrink, y + shrink, x + wide - shrink, y + high - shrink


def touching(root):
    """The texts in boxes that come closer to an edge than 3, or into a round corner."""
    found = []
    for rect in classes(root, "th-box"):
        x, y, wide, high, round_ = (float(rect.get(name)) for name in ("x", "y", "width", "height", "rx"))
        for one, (left, top, right, bottom) in texts(root):
            if x < (left + right) / 2 < x + wide and y < (top + bottom) / 2 < y + high:
                near = min(top - y, y + high - bottom)
                corner = round_ - np.sqrt(max(round_**2 - max(round_ - near, 0) ** 2, 0))
                if near < 3 or min(left - x, x + wide - right) < max(3, corner):
                    found.append(f"{one} | edge")
    return found


def overlapping(root):
    """The boxes that lie on one another."""
    return [
        (a, b)
        for a, b in combinations(inside(root), 2)
        if not (a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1])
    ]


def on_an_edge(root):
    """The texts that are neither in a box nor outside it."""
    found = []
    for one, (x0, y0, x1, y1) in texts(root):
        for left, top, right, bottom in inside(root):
            meet = left < x1 and x0 < right and top < y1 and y0 < bottom
            if meet and not (left < x0 and x1 < right and top < y0 and y1 < bottom):
                found.append(f"{one} | box")
    return found


def collisions(root):
    """What runs over a text, a text that leaves the picture, or an arrow that runs through a box."""
    width, height = map(float, root.get("viewBox").split()[2:])
    boxes = texts(root)
    found = [one for one, (x0, y0, x1, y1) in boxes if not (0 <= x0 and x1 <= width and 0 <= y0 and y1 <= height)]
    for (one, a), (other, b) in combinations(boxes, 2):
        if a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]:
            found.append(f"{one} | {other}")
    found += on_an_edge(root) + touching(root)
    for flow, line in arrows(root):
        for one, (x0, y0, x1, y1) in [*boxes, *(("box", corners) for corners in inside(root, shrink=2))]:
            if ((line >= (x0, y0)) & (line <= (x1, y1))).all(axis=1).any():
                found.append(f"{one} | {flow}")
    return found


def run_together(root):
    """The flows of arrows that are drawn over each other for longer than a crossing."""
    found = []
    for (one, a), (other, b) in combinations(arrows(root), 2):
        if one != other:
            near = np.hypot(*(a[:, None] - b[None]).transpose(2, 0, 1)).min(axis=1) < 4
            stretches = [len([*stretch]) for is_near, stretch in groupby(near) if is_near]  # it may cross it twice
            if max(stretches, default=0) > 8:
                found.append((one, other))
    return found
