"""A few units from early to late that can be read at a glance: the tour, the front page's strip.

They are chosen by rule. From layers that are evenly spaced, a few living units each are nominated:
those that there is a word for, whose pictures from two seeds agree, and that their picture drives
far beyond photographs and noise. Of these, the one whose picture has most contrast when it is small
is chosen.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from atlas import paths
from atlas.cache import Entry
from atlas.kinds.excitatory import KIND as EXCITATORY
from atlas.kinds.names.view import brief, story
from atlas.kinds.twin import KIND as TWIN
from atlas.sheets import SheetKind
from atlas.site import wording
from atlas.site.contents import Contents
from atlas.site.evidence import margin
from atlas.site.parts import (
    Cell,
    Head,
    Link,
    layer_link,
    picture_alt,
    spread,
    unit_heading,
    unit_link,
)
from atlas.units import Layer, Unit

N_STEPS = 7
N_CONSIDERED = 256  # units of a layer, evenly spaced
N_NOMINEES = 8  # of a layer, whose pixels are looked at
GLANCE_PX = 16  # side of a picture at which its contrast is taken
AGREEING = 0.2  # by which the similarity of two seeds exceeds that to another unit's picture
NUMBERS = ("", "one", "two", "three", "four", "five", "six", "seven")
STEPS = SheetKind("steps", columns=3, cell_px=192, quality=60)


@dataclass(frozen=True)
class StepView:
    """One unit of the tour."""

    number: int
    unit: Link
    layer: Link
    words: str  # what it is, in a word or two
    story: str  # in sentences
    picture: str  # path of the whole picture
    alt: str
    cell: Cell  # the picture on the sheet of all steps


@dataclass(frozen=True)
class TourPage:
    """View of `tour.html`."""

    head: Head
    title: str
    steps: tuple[StepView, ...]


def nominees(contents: Contents) -> tuple[tuple[Unit, ...], ...]:
    """For each step, the units to choose from; fewer steps where fewer layers have pictures."""
    layers = [layer for layer in contents.facts.layers if contents.pictured(layer)]
    places = dict.fromkeys(nth * (len(layers) - 1) // (N_STEPS - 1) for nth in range(N_STEPS))
    each = (_nominated(contents, layers[place]) for place in places if layers)
    return tuple(units for units in each if units)


def chosen(
    choices: Sequence[Sequence[Unit]], pictures: Sequence[bytes], words: Mapping[Unit, str]
) -> tuple[Unit, ...]:
    """The unit of each step whose picture has the most contrast; the first of equals.

    Units with a word go first, and of these those with one that no step before has.

    Args:
        choices: what `nominees` gives.
        pictures: the encoded pictures of all of them, in order.
        words: what `words_for` gives.
    """
    every = [unit for units in choices for unit in units]
    contrasts = dict(zip(every, map(contrast, pictures), strict=True))
    steps: list[Unit] = []
    for units in choices:
        told = {words[unit] for unit in steps}
        named = [unit for unit in units if words[unit]]
        new = [unit for unit in named if words[unit] not in told]
        steps.append(max(new or named or units, key=contrasts.__getitem__))
    return tuple(steps)


def words_for(contents: Contents, choices: Sequence[Sequence[Unit]]) -> Mapping[Unit, str]:
    """What each nominee is, in a word or two."""
    return {
        unit: brief(contents, contents.facts.layer(unit.layer), unit.index)
        for units in choices
        for unit in units
    }


def contrast(picture: bytes) -> float:
    """Standard deviation of a picture's grey levels, from 0 to 127.5, after it was made small."""
    with Image.open(io.BytesIO(picture)) as opened:
        small = opened.convert("L").resize((GLANCE_PX, GLANCE_PX), Image.Resampling.BOX)
    return float(np.asarray(small, np.float32).std())


def tour_view(contents: Contents, units: Sequence[Unit]) -> TourPage:
    """The page of the tour."""
    network, title = contents.facts.name, tour_title(contents, units)
    return TourPage(
        head=Head(
            title=f"{title} · {network}",
            description=f"Units of {network}, chosen by rule from the first layer to the last.",
            root="",
        ),
        title=title,
        steps=steps_of(contents, units),
    )


def tour_title(contents: Contents, units: Sequence[Unit]) -> str:
    """`From edges to classes in seven steps`."""
    is_to_classes = bool(units) and contents.facts.layer(units[-1].layer).is_classifier
    way = "From edges to classes" if is_to_classes else "From early to late"
    return f"{way} in {NUMBERS[len(units)]} {'step' if len(units) == 1 else 'steps'}"


def steps_of(contents: Contents, units: Sequence[Unit]) -> tuple[StepView, ...]:
    """The steps as pages in the site's root show them."""
    return tuple(_step(contents, number, unit) for number, unit in enumerate(units, 1))


def _step(contents: Contents, number: int, unit: Unit) -> StepView:
    layer, place = contents.facts.layer(unit.layer), STEPS.place(number - 1)
    heading, alt = (words(contents, layer, unit.index) for words in (unit_heading, picture_alt))
    return StepView(
        number=number,
        unit=unit_link(contents, layer.name, unit.index, heading, ""),
        layer=layer_link(layer.name, ""),
        words=brief(contents, layer, unit.index) or contents.title(layer, unit.index),
        story=" ".join((_sight(contents, layer), story(contents, layer, unit.index))),
        picture=paths.unit_picture(unit),
        alt=alt,
        cell=Cell(place.sheet, place.column, place.row, alt),
    )


def _sight(contents: Contents, layer: Layer) -> str:
    """How much of the image a unit sees, in a sentence."""
    if not layer.is_traced or not layer.has_maps:
        return "It sees the whole image."
    field_px, size_px = layer.receptive_field_px, contents.facts.input_size_px
    if field_px >= size_px:
        return "It sees the whole image."
    seen, whole = wording.pair((field_px, field_px)), wording.pair((size_px, size_px))
    return f"It sees {seen} of the image’s {whole} pixels at a time."


def _nominated(contents: Contents, layer: Layer) -> tuple[Unit, ...]:
    pictured = contents.pictured(layer)
    considered = [pictured[nth] for nth in spread(range(len(pictured)), N_CONSIDERED)]
    considered = [unit for unit in considered if not contents.is_dead(unit)]
    considered.sort(key=lambda unit: _rank_key(contents, unit), reverse=True)
    return tuple(considered[:N_NOMINEES])


def _rank_key(contents: Contents, unit: Unit) -> tuple[bool, int, float, float]:
    """Whether there is a word for a unit, what two seeds say, and its evidence."""
    layer, record = contents.facts.layer(unit.layer), contents.excitatory(unit)
    is_described = bool(brief(contents, layer, unit.index))
    beyond = margin(contents, unit)
    p = record.p if record else None
    return is_described, _agreement(contents, unit), p or 0.0, 0.0 if beyond is None else beyond


def _agreement(contents: Contents, unit: Unit) -> int:
    """1 where pictures from two seeds agree, −1 where they do not, 0 where there is one only."""
    twin = contents.record(unit, TWIN)
    if twin is None or twin.similarity is None or twin.similarity_other is None:
        return 0
    return 1 if twin.similarity - twin.similarity_other >= AGREEING else -1


def entries_of(contents: Contents, choices: Sequence[Sequence[Unit]]) -> list[Entry]:
    """The cache's entries of the nominees' pictures, in order."""
    entries = (contents.entry(unit, EXCITATORY) for units in choices for unit in units)
    return [entry for entry in entries if entry]
