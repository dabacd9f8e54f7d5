"""Colour profiles by their formulas, for levels that keep their depth: curves of grey, curves and a matrix of RGB.

ICC.1:2022, sections 8.3 (which tags a profile has), 10.6 and 10.18 (curves) and annex F.3 (the matrix);
sRGB by IEC 61966-2-1. Profiles with tables of colours (`A2B0`) are left to Pillow, which converts 8 bits.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy

    Numbers = numpy.ndarray[Any, numpy.dtype[numpy.float64]]

_MOST_TAGS = 200
"""Tags of a profile that are looked at."""

_CURVES = (b"kTRC", b"rTRC", b"gTRC", b"bTRC")
"""The tags of the curves of grey, red, green and blue."""

_PARAMETERS = (1, 3, 4, 5, 7)
"""How many numbers a parametric curve of each kind has."""

_SRGB_COLOURANTS = ((0.4360, 0.3851, 0.1431), (0.2225, 0.7169, 0.0606), (0.0139, 0.0971, 0.7141))
"""Linear sRGB to XYZ, its white point adapted to D50 as in every profile."""


def in_srgb_by_formula(colours: Numbers, profile: bytes) -> Numbers | None:
    """Colours `[..., 3]` in 0..1 converted from a profile to sRGB; None where the profile has no formula.

    Raises:
        ValueError: where the profile is damaged.
    """
    import numpy

    try:
        tags = _tags(profile)
        space, connection = profile[16:20], profile[20:24]
        if b"A2B0" in tags or connection != b"XYZ ":
            return None
        if any(_linear(numpy.zeros(1), tags[name]).max() > 0 for name in _CURVES if name in tags):
            return None  # black is not black, and how far it is moved to sRGB's is a choice of the converter
        if space == b"GRAY" and b"kTRC" in tags:
            return _encoded(_linear(colours, tags[b"kTRC"]))
        names = [(curve, curve[:1] + b"XYZ") for curve in _CURVES[1:]]
        if space != b"RGB " or not all(curve in tags and colourant in tags for curve, colourant in names):
            return None
        linear = [_linear(colours[..., channel], tags[curve]) for channel, (curve, _) in enumerate(names)]
        matrix = numpy.stack([_fixed(tags[colourant], 8, 3) for _, colourant in names], axis=-1)
    except struct.error as fault:
        raise ValueError(f"it is cut off: {fault}") from None
    return _encoded(numpy.stack(linear, axis=-1) @ (numpy.linalg.inv(numpy.array(_SRGB_COLOURANTS)) @ matrix).T)


def _tags(profile: bytes) -> Mapping[bytes, bytes]:
    (count,) = struct.unpack_from(">I", profile, 128)
    found = (struct.unpack_from(">4sII", profile, 132 + 12 * index) for index in range(min(count, _MOST_TAGS)))
    return {name: profile[start : start + length] for name, start, length in found}


def _fixed(tag: bytes, start: int, count: int) -> Numbers:
    """Numbers of 16 bits before and 16 after the point."""
    import numpy

    return numpy.array(struct.unpack_from(f">{count}i", tag, start)) / 2**16


def _linear(levels: Numbers, tag: bytes) -> Numbers:
    """Levels in 0..1 as light, by the curve of a channel."""
    import numpy

    (kind, count) = struct.unpack_from(">4s4xI", tag)
    if kind == b"curv" and count == 0:
        return levels
    if kind == b"curv" and count == 1:
        return numpy.asarray(levels ** (struct.unpack_from(">H", tag, 12)[0] / 2**8))
    if kind == b"curv":
        table = numpy.array(struct.unpack_from(f">{count}H", tag, 12)) / (2**16 - 1)
        return numpy.interp(levels, numpy.linspace(0, 1, count), table)
    if kind != b"para" or count >> 16 >= len(_PARAMETERS):
        raise ValueError(f"it has a curve of unknown kind {kind!r}")
    return _parametric(levels, count >> 16, _fixed(tag, 12, _PARAMETERS[count >> 16]))


def _parametric(levels: Numbers, kind: int, numbers: Numbers) -> Numbers:
    """Equations of table 68: (a x + b)^g + e from x = d on, c x + f before."""
    import numpy

    g, a, b, c, d, e, f = (float(one) for one in numpy.pad(numbers, (0, 7 - len(numbers))))
    if kind == 0:
        return numpy.asarray(levels**g)
    if kind < 3:
        e = f = c if kind == 2 else 0.0
        c, d = 0.0, -b / a if a else 0.0
    power = numpy.maximum(a * levels + b, 0) ** g + e
    return numpy.asarray(numpy.where(levels >= d, power, c * levels + f))


def _encoded(light: Numbers) -> Numbers:
    """Light in 0..1 as levels of sRGB; colours that sRGB lacks are clipped."""
    import numpy

    light = numpy.clip(light, 0, 1)
    return numpy.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
