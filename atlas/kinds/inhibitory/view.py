"""The inhibitory picture on the page of a unit."""

from __future__ import annotations

from atlas.kinds.inhibitory import KIND, InhibitoryRecord
from atlas.site import wording
from atlas.site.contents import Contents
from atlas.site.parts import Companion, crop_of, unit_words
from atlas.units import Layer, Unit
from atlas.vocabulary import score_of, words_of


def companion_view(contents: Contents, layer: Layer, unit: Unit) -> Companion | None:
    """The picture with its caption, None if it was not made."""
    record = contents.record(unit, KIND)
    sprite = contents.sprite(layer, unit.index, KIND)
    if record is None or sprite is None:
        return None
    subject = unit_words(contents, layer, unit.index)
    alt = f"Synthetic picture that inhibits {subject}"
    words = _words(layer, record)
    return Companion(crop_of(sprite, alt), "Inhibitory picture", "inhibitory", words)


def _words(layer: Layer, record: InhibitoryRecord) -> str:
    if record.dead or record.trough is None:
        return "nothing that was tried drives the unit down"
    rank = ""
    if record.rank is not None and layer.n_units > 1:
        rank = f", rank {record.rank + 1:,} of {wording.count(layer.n_units)}"
    response = wording.response(score_of(layer), record.trough)
    return words_of(layer).silenced.format(response=response, rank=rank)
