"""What a unit sees in photographs: from strong to weak, how often it fires, and for what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from atlas.site import wording
from atlas.site.evidence import Scale, n_photographs, scale_of
from atlas.site.sprites import Sprite
from atlas.site.views import Cell, Contents, Fact
from atlas.spec import SMALL_PX
from atlas.units import Layer, Unit

N_NAMED = 3  # classes named for the strongest examples


class Examples(NamedTuple):
    """A strip of examples and what there is to say of it."""

    strip: Cell | None  # None: the photographs were counted, but not cut
    pixelated: bool  # too small to be shown as it is
    strongest: str
    others: str
    facts: tuple[Fact, ...]


def examples_of(contents: Contents, layer: Layer, unit: Unit) -> Examples | None:
    """What photographs showed of a unit; None where none were shown to it."""
    numbers = contents.panel(unit, "natural")
    if not numbers.get("top"):
        return None
    seen = contents.panel_facts(layer, "natural")
    classes = _names(contents, seen["classes"])
    sprite = contents.strip(layer, unit.index)
    return Examples(
        strip=_strip(contents, layer, unit, sprite) if sprite else None,
        pixelated=sprite is not None and sprite.size_px[0] < 3 * SMALL_PX,
        strongest=_strongest(scale_of(layer), numbers["top"], seen["file_classes"], classes),
        others=_others(scale_of(layer), numbers["spread"]),
        facts=tuple(_facts(contents, layer, numbers, classes)),
    )


def _strip(contents: Contents, layer: Layer, unit: Unit, sprite: Sprite) -> Cell:
    alt = f"Parts of photographs that drive {contents.title(layer, unit.index)}, strongest first"
    return Cell(sprite.place.sheet, sprite.place.column, sprite.place.row, alt)


def _strongest(
    scale: Scale,
    top: Sequence[Sequence[float]],
    file_classes: Sequence[int],
    classes: Sequence[str],
) -> str:
    """`Left: the strongest, +15.7 to +12.1 σ; 5 goldfish, 2 tench`."""
    first, last = (wording.signed(answer, 1) for answer in (top[0][-1], top[-1][-1]))
    values = first if first == last else f"{first} to {last}"
    found = (file_classes[int(file)] for file, *_ in top)
    seen = Counter(classes[each] for each in found if each >= 0)
    named = ", ".join(f"{count} {label}" for label, count in seen.most_common(N_NAMED))
    return f"Left: the strongest, {values}{scale.unit}{f'; {named}' if named else ''}"


def _others(scale: Scale, spread: Sequence[Sequence[float]]) -> str:
    """The three on the right, from top to bottom."""
    values = [wording.signed(example[-1], 1) for example in spread]
    return f"Right: a strong, a middle and a weak one, {', '.join(values)}{scale.unit}"


def _names(contents: Contents, folders: Sequence[str]) -> Sequence[str]:
    """Folders of classes have the network's names for them, where there are as many of them."""
    labels = contents.facts.labels
    return labels if len(folders) == len(labels) else folders


def _facts(
    contents: Contents, layer: Layer, numbers: Mapping[str, Any], classes: Sequence[str]
) -> list[Fact]:
    photographs = n_photographs(contents, layer)
    if layer.kind == "classifier":
        share = wording.share(numbers["fires"])
        facts = [Fact("Is the answer for", f"{share} of {photographs}", about="fires")]
    else:
        where = f"{wording.share(numbers['fires'])} of {photographs}"
        positions = f"{wording.share(numbers['active'])} of positions"
        facts = [Fact("Fires in", f"{where}, at {positions}", about="fires")]
    if numbers.get("selectivity") is not None:
        value = f"{wording.plain(numbers['selectivity'])}, for {classes[numbers['class']]}"
        facts.append(Fact("Class selectivity", value, about="selectivity"))
    return facts
