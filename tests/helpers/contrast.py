"""How well one colour is seen on another."""

from collections.abc import Sequence


def ratio(one: Sequence[int], other: Sequence[int]) -> float:
    """The contrast ratio of WCAG 2.2, 1 to 21, of two colours of red, green and blue, 0 to 255."""
    low, high = sorted(_light(colour) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def _light(colour: Sequence[int]) -> float:
    shares = (part / 255 for part in colour)
    parts = (share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares)
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), parts, strict=True))
