"""What stands in a landscape: a pine tree, a red house, a white sailboat, drawn from convex polygons."""

from collections.abc import Callable

from .coverage import Array, Layer, X, ellipse, mix, polygon, smooth
from .palette import Light, rgb

__all__ = ["SUBJECT", "subject"]

SUBJECT = {"tree": 6, "house": 7, "boat": 8}
"""The label of each subject in a label map."""


def subject(kind: str, x: float, y: float, scale: float, light: Light) -> list[Layer]:
    """The layers of a subject whose foot (or waterline) is at (x, y), `scale` times its usual size; none for "none"."""
    return _KINDS[kind](x, y, scale, light) if kind != "none" else []


def _tree(x: float, y: float, scale: float, light: Light) -> list[Layer]:
    label = SUBJECT["tree"]
    trunk = _box(x - 2.5 * scale, y - 9 * scale, 5 * scale, 9 * scale)
    needles = rgb("2f7048") * mix(light.shade * 0.8, light.lit, smooth(X - x, 0.7, -0.7)[..., None])
    tiers = zip((6, 17, 27), (13, 10.5, 8), (22, 19, 18), strict=True)
    layers = [
        _shadow(x, y, 16 * scale, light, label),
        Layer(trunk, rgb("6b4a32") * mix(light.shade, light.lit, 0.5), label),
    ]
    for foot, half, height in tiers:
        low = y - foot * scale
        tier = polygon((x, low - height * scale), (x + half * scale, low), (x - half * scale, low))
        layers += [Layer(tier, needles, label)]
    return layers


def _house(x: float, y: float, scale: float, light: Light) -> list[Layer]:
    def box(left: float, top: float, width: float, height: float) -> Array:
        return _box(x + left * scale, y + top * scale, width * scale, height * scale)

    def shape(*corners: tuple[float, float]) -> Array:
        return polygon(*((x + dx * scale, y + dy * scale) for dx, dy in corners))

    label = SUBJECT["house"]
    pane = mix(rgb("bfe0f0") * light.lit, rgb("ffdf70"), light.lamp)
    white = rgb("fff6ec") * mix(light.shade, light.lit, 0.9)
    wall = rgb("d8392c")
    return [
        _shadow(x, y, 23 * scale, light, label),
        Layer(box(9, -37, 5, 14), rgb("8a4a3c") * light.lit, label),
        Layer(box(-17, -21, 34, 21), wall * mix(light.shade, light.lit, 0.85), label),
        Layer(
            shape((-13, -35), (13, -35), (21, -20), (-21, -20)), rgb("5b4650") * mix(light.shade, light.lit, 0.8), label
        ),
        *(Layer(box(left - 1, -16, 9, 9), white, label) for left in (-13, 6)),
        *(Layer(box(left, -15, 7, 7), pane, label) for left in (-13, 6)),
        Layer(box(-3, -13, 6, 13), rgb("6a3524") * light.lit, label),
    ]


def _boat(x: float, y: float, scale: float, light: Light) -> list[Layer]:
    def shape(*corners: tuple[float, float]) -> Array:
        return polygon(*((x + dx * scale, y + dy * scale) for dx, dy in corners))

    label = SUBJECT["boat"]
    white = rgb("fffdf8") * mix(light.shade, light.lit, 0.95)
    dim = rgb("e4e6ee") * mix(light.shade, light.lit, 0.55)
    mirror = shape((-2, 2), (14, 2), (0, 16))
    return [
        Layer(mirror * 0.35, white, label),
        Layer(shape((1, -38), (16, -8), (1, -8)), white, label),
        Layer(shape((-2, -33), (-2, -8), (-14, -8)), dim, label),
        Layer(shape((-1, -39), (1, -39), (1, -4), (-1, -4)), rgb("5c4030") * light.lit, label),
        Layer(shape((-17, -6), (19, -6), (13, 2), (-12, 2)), white, label),
        Layer(shape((-13.5, -1), (15.5, -1), (13, 2), (-12, 2)), rgb("b8442f") * light.lit, label),
    ]


def _box(left: float, top: float, width: float, height: float) -> Array:
    right, low = left + width, top + height
    return polygon((left, top), (right, top), (right, low), (left, low))


def _shadow(x: float, y: float, half: float, light: Light, label: int) -> Layer:
    return Layer(0.45 * ellipse(x + 3, y, half, 0.2 * half), light.shade * 0.3, label)


_KINDS: dict[str, Callable[[float, float, float, Light], list[Layer]]] = {"tree": _tree, "house": _house, "boat": _boat}
