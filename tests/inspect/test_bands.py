"""Bands: they can be seen on their ground, and what stands beside them can be read."""

import re

import pytest

from tinyhyper.inspect.canvas import part

GROUND = {"picture.css": 1.29, "picture.dark.css": 2.4}  # by style sheet, how far bands are from the ground at least


def luminance(colour):
    """Of a colour, as WCAG defines it."""
    shares = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [share / 12.92 if share <= 0.04 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return sum(share * weight for share, weight in zip(linear, (0.2126, 0.7152, 0.0722)))


def contrast(one, other):
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def colours(sheet, what):
    """By class, the colours of a kind."""
    rules = re.findall(r"([^{}]+)\{([^}]*)\}", part(sheet))
    found = [(names, colour[1]) for names, look in rules if (colour := re.search(rf"{what}: (#\w{{6}})", look))]
    return {name: colour for names, colour in found for name in re.findall(r"th-[-a-z]+", names)}


@pytest.mark.parametrize("sheet", GROUND)
def test_bands_stand_out_from_their_ground_and_their_tips_from_them(sheet):
    (ground, bands), tips = (colours(sheet, "fill")["th-band"], colours(sheet, "stroke")), colours(sheet, "fill")
    kinds = ["trail", "branch", "carry", "first", "second"]
    apart = {kind: contrast(bands[f"th-{kind}"], ground) for kind in kinds}
    assert min(apart.values()) > GROUND[sheet] and apart["trail"] > 1.15 * apart["branch"]
    assert min(contrast(tips[f"th-tip-{kind}"], bands[f"th-{kind}"]) for kind in kinds) > 1.6


def test_the_names_in_pale_boxes_can_be_read():
    for sheet, ground in (("picture.css", "#ffffff"), ("picture.dark.css", "#0d1117")):
        opacity = float(re.search(r"th-gone > text { opacity: ([.\d]+)", part("picture.css"))[1])
        ink = colours(sheet, "fill")["th-small"]
        parts = [(int(ink[n : n + 2], 16), int(ground[n : n + 2], 16)) for n in (1, 3, 5)]
        mixed = "".join([f"{round(opacity * one + (1 - opacity) * other):02x}" for one, other in parts])
        assert contrast(f"#{mixed}", ground) > 4.5
