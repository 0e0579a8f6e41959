"""What pages that were asked for have in common: their view, and the links that lead to them."""

from __future__ import annotations

from typing import NamedTuple

from atlas import paths
from atlas.cache import Entry
from atlas.on_demand.page import Page
from atlas.site.contents import Contents
from atlas.site.parts import Card, CardPicture, Crop, Fact, Head, Link, crop_from, unit_link
from atlas.units import Layer, Unit


class Pictured(NamedTuple):
    """One picture with what is said of it."""

    crop: Crop
    title: Link
    facts: tuple[Fact, ...]


class PicturesPage(NamedTuple):
    """View of a page of pictures, of which each kind has a template."""

    head: Head
    heading: str
    subjects: tuple[Link, ...]  # the units that it is about
    pictures: tuple[Pictured, ...]


def pictures_page(
    contents: Contents,
    page: Page,
    description: str,
    subjects: tuple[Link, ...],
    pictures: tuple[Pictured, ...],
) -> PicturesPage:
    """The view of a page; its description is for search engines."""
    entry = page.entries[0]
    size_px = entry.width_px, entry.height_px
    picture = CardPicture(page.pictures[0], size_px, f"{page.title}: synthetic pictures")
    head = Head(
        title=f"{page.title} · {contents.facts.name}",
        description=description,
        root="../",
        card=Card(page.path, picture),
    )
    return PicturesPage(head, page.title, subjects, pictures)


def crop_from_strip(entry: Entry, nth: int, alt: str) -> Crop:
    """The picture at `nth` of an artifact that has several square ones side by side."""
    size_px = entry.height_px
    src = paths.file_name(paths.on_demand_picture(entry.kind, entry.unit))
    strip_px = entry.width_px, size_px
    return crop_from(src, strip_px, (nth * size_px, 0), (size_px, size_px), alt)


def subject(contents: Contents, unit_id: str) -> Link:
    """A unit that a page is about, with a link if it has a page of its own."""
    unit = contents.facts.unit(unit_id)
    layer = contents.facts.layer(unit.layer)
    return unit_link(contents, layer.name, unit.index, short_name(contents, unit), "../")


def short_name(contents: Contents, unit: Unit) -> str:
    """The label of a class, or the id of another unit."""
    return contents.label(contents.facts.layer(unit.layer), unit.index) or unit.id


def links_from_unit(contents: Contents, layer: Layer, unit: Unit) -> tuple[Link, ...] | None:
    """Links from the page of a unit to the pages about it; None if there are none."""
    return _links(contents, unit)


def links_from_layer(contents: Contents, layer: Layer) -> tuple[Link, ...] | None:
    """Links from the page of a layer to the pages about it; None if there are none."""
    return _links(contents, layer.whole)


def _links(contents: Contents, unit: Unit) -> tuple[Link, ...] | None:
    pages = contents.pages_about.get(unit.id, ())
    return tuple(Link(page.title, f"../{page.path}") for page in pages) or None
