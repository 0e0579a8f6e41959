"""The picture of one receptive field on the page of a unit."""

from __future__ import annotations

from atlas.kinds.field import KIND
from atlas.site import wording
from atlas.site.contents import Contents
from atlas.site.parts import Companion, crop_of, unit_words
from atlas.units import Layer, Unit
from atlas.vocabulary import score_of


def companion_view(contents: Contents, layer: Layer, unit: Unit) -> Companion | None:
    """The picture with its caption, None if it was not made."""
    entry, record = contents.entry(unit, KIND), contents.record(unit, KIND)
    sprite = contents.sprite(layer, unit.index, KIND)
    if entry is None or record is None or sprite is None:
        return None
    reached = ""
    if record.score is not None:
        reached = f", which it drives to {wording.response(score_of(layer), record.score)}"
    size = wording.pair((entry.width_px, entry.width_px))
    words = f"made for a single position{reached}; {size} px"
    subject = unit_words(contents, layer, unit.index)
    alt = f"Synthetic picture that excites one position of {subject}"
    return Companion(crop_of(sprite, alt), "One receptive field", "one-field", words)
