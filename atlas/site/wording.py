"""Numbers and names as the pages spell them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from atlas.units import Layer
from atlas.vocabulary import Score

MINUS = "−"
SPACE = "\N{NO-BREAK SPACE}"  # keeps what belongs together on one line
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
MOST_DIGITS = 3  # after the point, in records of responses


def signed(value: float, digits: int = 2) -> str:
    """`+9.41` or `−0.30`, with a true minus; with another digit if these would all be zero."""
    while digits < MOST_DIGITS and value and not float(f"{value:.{digits}f}"):
        digits += 1
    text = f"{value:+.{digits}f}"
    return text.replace("-", MINUS) if float(text) else text.lstrip("+-")


def response(score: Score, value: float, digits: int = 2) -> str:
    """`+6.89 σ`, in the unit of a layer's score."""
    return f"{signed(value, digits)}{score.suffix}"


def plain(value: float) -> str:
    """`0.98` or `−0.05`, with a true minus and without a plus."""
    return signed(value).lstrip("+")


def round_number(value: float) -> str:
    """`+0.5`, `0` or `−10`, without trailing zeros."""
    return f"{value:+g}".replace("-", MINUS) if value else "0"


def weight(value: float) -> str:
    """A signed weight to three significant digits: `+0.0123`."""
    return f"{value:+.3g}".replace("-", MINUS)


def strength(value: float) -> str:
    """A signed strength to two significant digits, `+0.20`, or `+9.3 × 10⁻⁶` of a tiny one."""
    digits, _, power = f"{value:+#.2g}".rstrip(".").replace("-", MINUS).partition("e")
    if not power:
        return digits
    exponent = str(int(power.replace(MINUS, "-"))).translate(SUPERSCRIPTS)
    return f"{digits} × 10{exponent}"


def percent(share: float) -> str:
    """`98.2 %`; `< 0.1 %` or `> 99.9 %` at the ends, since a softmax never reaches 0 or 1."""
    if share < 0.001:
        return f"< 0.1{SPACE}%"
    return f"> 99.9{SPACE}%" if share >= 0.9995 else f"{100 * share:.1f}{SPACE}%"


def share(part: float) -> str:
    """`0 %`, `12.3 %`, `100 %`: a share of counted things, which can be exactly 0 or 1."""
    return f"{part:.0%}".replace("%", f"{SPACE}%") if part in (0, 1) else percent(part)


def count(number: int, noun: str = "", plural: str = "") -> str:
    """`1 unit`, `2,048 units`; with no noun just the number with its commas."""
    text = f"{number:,}"
    if not noun:
        return text
    return f"{text} {noun if number == 1 else plural or noun + 's'}"


def pair(size: Sequence[int]) -> str:
    """`3 × 3`, on one line."""
    return f"{SPACE}×{SPACE}".join(str(side) for side in size)


def positions(size: tuple[int, int]) -> str:
    """`7 × 7 positions`, the size of a map, on one line."""
    noun = "position" if size == (1, 1) else "positions"
    return f"{pair(size)} {noun}"


def kernel(layer: Layer) -> str:
    """`3 × 3`, or `3 × 3 depthwise`, of a convolution."""
    return f"{pair(layer.kernel)} depthwise" if layer.is_depthwise else pair(layer.kernel)


def large(number: int) -> str:
    """`2.1 billion`, `87 million`, `950`."""
    for size, name in ((10**9, "billion"), (10**6, "million"), (10**3, "thousand")):
        if number >= size:
            return f"{number / size:.3g} {name}"
    return str(number)


def ranges(indices: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Rising indices as (first, last) runs."""
    runs: list[tuple[int, int]] = []
    for index in indices:
        if runs and index == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], index)
        else:
            runs.append((index, index))
    return tuple(runs)


def spell_ranges(indices: Iterable[int]) -> str:
    """`3, 16–63`."""
    runs = ranges(indices)
    return ", ".join(str(first) if first == last else f"{first}–{last}" for first, last in runs)
