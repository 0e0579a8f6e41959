"""The picture for a whole layer on the layer's page."""

from __future__ import annotations

from typing import NamedTuple

from atlas.kinds.dream import KIND, DreamRecord
from atlas.sheets import SMALL_PX
from atlas.site import wording
from atlas.site.contents import Contents
from atlas.units import Layer
from atlas.vocabulary import score_of, words_of

SHOWN_PX = 384


class DreamView(NamedTuple):
    """The picture and its caption."""

    src: str
    alt: str
    shown_px: int
    pixelated: bool
    words: str


def figure_view(contents: Contents, layer: Layer) -> DreamView | None:
    """The picture with its caption, None if it was not made."""
    entry, record = contents.entry(layer.whole, KIND), contents.layer_record(layer, KIND)
    if entry is None or record is None:
        return None
    return DreamView(
        src=KIND.layer_file,
        alt=KIND.layer_alt.format(layer=layer.name),
        shown_px=SHOWN_PX,
        pixelated=entry.width_px < SMALL_PX,
        words=_words(layer, record),
    )


def _words(layer: Layer, record: DreamRecord) -> str:
    words = f"excites all {words_of(layer).plural} of the layer at once"
    if record.rms is None or record.rms_start is None:
        return words
    suffix = score_of(layer).suffix
    start, end = (f"{wording.plain(each)}{suffix}" for each in (record.rms_start, record.rms))
    return f"{words}; their average strength rose from {start} on plain noise to {end}"
