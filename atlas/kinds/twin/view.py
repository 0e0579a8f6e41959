"""The second picture on a unit's page, and the pairs of pictures on a layer's page."""

from __future__ import annotations

from typing import NamedTuple

from atlas import paths
from atlas.kinds.twin import KIND, SAMPLE, TwinRecord
from atlas.sheets import SMALL_PX
from atlas.site import wording
from atlas.site.contents import Contents
from atlas.site.parts import Companion, Crop, crop_of, own_name, picture_alt, unit_words
from atlas.units import Layer, Unit
from atlas.vocabulary import score_of


class Pair(NamedTuple):
    """A unit's pictures from two seeds."""

    href: str
    name: str
    first: str | None  # path of the excitatory picture
    alt: str
    pixelated: bool
    second: Crop
    words: str


def companion_view(contents: Contents, layer: Layer, unit: Unit) -> Companion | None:
    """The second picture with its caption, None if it was not made."""
    record = contents.record(unit, KIND)
    sprite = contents.sprite(layer, unit.index, KIND)
    if record is None or sprite is None:
        return None
    subject = unit_words(contents, layer, unit.index)
    alt = f"Synthetic picture that excites, from a second seed, {subject}"
    words = _words(contents, layer, unit, record)
    return Companion(crop_of(sprite, alt), "Second seed", "similarity", words)


def pairs_view(contents: Contents, layer: Layer) -> tuple[Pair, ...] | None:
    """The pairs of a layer's sample, None if there are none."""
    units = (layer.unit(index) for index in SAMPLE.indices(layer))
    pairs = tuple(pair for unit in units if (pair := _pair(contents, layer, unit)))
    return pairs or None


def agreement(record: TwinRecord) -> str | None:
    """How similar a unit's two pictures are, and how similar the pictures of two units are."""
    if record.similarity is None:
        return None
    comparison = ""
    if record.similarity_other is not None:
        other = _alike(record.similarity_other)
        comparison = f", this one and another unit’s {other}"
    return f"the two pictures are {_alike(record.similarity)} alike{comparison}"


def _alike(similarity: float) -> str:
    """A similarity, which is a correlation, in percent."""
    return f"{round(100 * similarity)} %".replace("-", wording.MINUS)


def _words(contents: Contents, layer: Layer, unit: Unit, record: TwinRecord) -> str:
    first = contents.excitatory(unit)
    peaks = [
        wording.response(score_of(layer), each.peak)
        for each in (record, first)
        if each and each.peak is not None
    ]
    parts = ("reaches " + ", the first one ".join(peaks) if peaks else "", agreement(record))
    return "; ".join(part for part in parts if part)


def _pair(contents: Contents, layer: Layer, unit: Unit) -> Pair | None:
    entry, record = contents.entry(unit, KIND), contents.record(unit, KIND)
    sprite = contents.sprite(layer, unit.index, KIND)
    if entry is None or record is None or sprite is None:
        return None
    alt = picture_alt(contents, layer, unit.index)
    picture = own_name(unit, paths.unit_picture(unit))
    return Pair(
        href=own_name(unit, paths.unit_page(unit)),
        name=contents.title(layer, unit.index),
        first=picture if contents.has_picture(unit) else None,
        alt=alt,
        pixelated=entry.width_px < SMALL_PX,
        second=crop_of(sprite, f"{alt}, from a second seed"),
        words=agreement(record) or "",
    )
