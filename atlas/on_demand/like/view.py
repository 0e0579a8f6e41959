"""The page of an image that was looked up: the units that it drives hardest, layer by layer."""

from __future__ import annotations

from typing import NamedTuple

from atlas import paths
from atlas.on_demand.like import KIND, LikeRecord
from atlas.on_demand.page import Page
from atlas.site import wording
from atlas.site.contents import Contents
from atlas.site.parts import Card, CardPicture, Head, Link, layer_link, picture_alt
from atlas.units import Layer
from atlas.vocabulary import score_of

SHOWN_PX = 320


class Driven(NamedTuple):
    """A unit and its response to the image."""

    link: Link
    src: str | None  # of its excitatory picture
    alt: str
    answer: str


class LayerRow(NamedTuple):
    """The units of one layer, strongest first."""

    layer: Link
    units: tuple[Driven, ...]


class LikePage(NamedTuple):
    """View of `like.html`."""

    head: Head
    heading: str
    src: str
    alt: str
    shown_px: int
    rows: tuple[LayerRow, ...]  # from the classes to the first layer


def like_view(contents: Contents, page: Page) -> LikePage:
    """The page of one image."""
    (entry,) = page.entries
    record = KIND.record_of(entry)
    name, alt = record.name, f"The image {record.name}, as the network gets it"
    size_px = entry.width_px, entry.height_px
    rows = [
        _row(contents, layer, record)
        for layer in reversed(contents.facts.layers)
        if layer.name in record.units
    ]
    return LikePage(
        head=Head(
            title=f"{name} · {contents.facts.name}",
            description=f"The units of {contents.facts.name} that one image drives hardest.",
            root="../",
            card=Card(page.path, CardPicture(page.pictures[0], size_px, alt)),
        ),
        heading=name,
        src=paths.file_name(page.pictures[0]),
        alt=alt,
        shown_px=SHOWN_PX,
        rows=tuple(rows),
    )


def _row(contents: Contents, layer: Layer, record: LikeRecord) -> LayerRow:
    shares = record.p if layer.is_classifier else {}
    units = (
        _driven(contents, layer, int(index), response, shares.get(str(index)))
        for index, response in record.units[layer.name]
    )
    return LayerRow(layer_link(layer.name, "../"), tuple(units))


def _driven(
    contents: Contents, layer: Layer, index: int, response: float, share: float | None
) -> Driven:
    unit, page = layer.unit(index), contents.pages[layer.name].get(index)
    spelled = wording.response(score_of(layer), response, 1)
    return Driven(
        link=Link(contents.label(layer, index) or str(index), f"../{page}" if page else None),
        src=f"../{paths.unit_picture(unit)}" if contents.has_picture(unit) else None,
        alt=picture_alt(contents, layer, index),
        answer=spelled if share is None else f"{spelled}, {wording.percent(share)}",
    )
