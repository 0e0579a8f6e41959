"""The page of an image that was looked up: the units that it drives hardest, layer by layer."""

from __future__ import annotations

from typing import NamedTuple

from atlas.cache import Entry
from atlas.site import wording
from atlas.site.evidence import scale_of
from atlas.site.views import Contents, Head, Link, layer_link, picture_alt
from atlas.units import Layer, like_page, picture_path

SHOWN_PX = 320


class Driven(NamedTuple):
    """A unit and what it answers to the image."""

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


def like_view(contents: Contents, entry: Entry) -> LikePage:
    """The page of one image."""
    name = entry.numbers["name"]
    rows = [
        _row(contents, layer, entry)
        for layer in reversed(contents.facts.layers)
        if layer.name in entry.numbers["units"]
    ]
    return LikePage(
        head=Head(
            title=f"{name} · {contents.facts.name}",
            description=f"The units of {contents.facts.name} that one image drives hardest.",
            root="../",
        ),
        heading=name,
        src=f"{entry.unit}.webp",
        alt=f"The image {name}, as the network gets it",
        shown_px=SHOWN_PX,
        rows=tuple(rows),
    )


def like_links(contents: Contents) -> tuple[Link, ...]:
    """All images that were looked up, for a page in the site's root."""
    return tuple(Link(entry.numbers["name"], like_page(entry.unit)) for entry in contents.likes)


def _row(contents: Contents, layer: Layer, entry: Entry) -> LayerRow:
    found = entry.numbers["units"][layer.name]
    shares = entry.numbers["p"] if layer.kind == "classifier" else {}
    units = (
        _driven(contents, layer, int(index), answer, shares.get(str(index)))
        for index, answer in found
    )
    return LayerRow(layer_link(layer.name, "../"), tuple(units))


def _driven(
    contents: Contents, layer: Layer, index: int, answer: float, share: float | None
) -> Driven:
    unit, page = layer.unit(index), contents.pages[layer.name].get(index)
    pictured = contents.entry(unit, "excitatory") is not None
    spelled = scale_of(layer).spell(answer, 1)
    return Driven(
        link=Link(contents.label(layer, index) or str(index), f"../{page}" if page else None),
        src=f"../{picture_path(unit)}" if pictured else None,
        alt=picture_alt(contents, layer, index),
        answer=spelled if share is None else f"{spelled}, {wording.percent(share)}",
    )
