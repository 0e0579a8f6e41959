"""Parts that the views of many pages share.

A view is immutable data with finished text and links, which templates only arrange. The parts of a
unit's page are named tuples, because a page has about a hundred of them and frozen dataclasses take
three times as long to create.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from markupsafe import Markup

from atlas import paths
from atlas.kinds.excitatory import KIND as EXCITATORY
from atlas.sheets import SMALL_PX, Size, Sprite
from atlas.site import wording
from atlas.site.contents import Contents
from atlas.units import Layer, Unit
from atlas.vocabulary import words_of


class Site(NamedTuple):
    """What every page shows about the network; templates read it as `site`."""

    title: str
    network: str
    weights: str
    sha256: str
    recipe: str
    seed: int
    classifier: str | None  # path of the page of the classes
    has_labels: bool
    base_url: str  # of the published site, with a final slash; empty if unknown
    sheet_settings: Markup  # how sprite sheets are called
    landing: str = ""  # path from the atlas's root to the landing page, in a site of several
    has_about: bool = True
    has_map: bool = False


class LandingSite(NamedTuple):
    """What the pages of a site of several atlases show besides them; read as `site` as well."""

    title: str
    base_url: str  # of the published site, with a final slash; empty if unknown
    path_settings: Markup  # the folders of the atlases, as a data attribute for the scripts
    classifier: str | None = None
    landing: str = ""
    has_about: bool = False


class CardPicture(NamedTuple):
    """The picture of a card; its path is relative to the site's root."""

    path: str
    size_px: Size | None  # None if it is not known
    alt: str


class Card(NamedTuple):
    """How a page looks when its address is shared: https://ogp.me."""

    page: str  # path of the page, relative to the site's root
    picture: CardPicture | None  # that represents it


class Head(NamedTuple):
    """The part of a view that the base template reads."""

    title: str
    description: str
    root: str  # from the page to the site's root: "" or "../"
    section: str = ""  # which entry of the navigation is current
    card: Card | None = None


class Link(NamedTuple):
    """Text with a link, or without one if there is no page to link to."""

    text: str
    href: str | None


class LinkList(NamedTuple):
    """Links of one sort."""

    heading: str
    links: tuple[Link, ...]


class Fact(NamedTuple):
    """A term and its value."""

    term: str
    value: str
    href: str | None = None
    about: str | None = None  # entry of the glossary that explains the term


class Cell(NamedTuple):
    """A picture inside a sprite sheet."""

    src: str  # relative to the page
    column: int
    row: int
    alt: str


class Crop(NamedTuple):
    """A picture cut out of a sheet, in the sheet's pixels."""

    src: str
    view_box: str
    sheet_px: Size
    alt: str
    pixelated: bool  # whether it is a small picture, enlarged without smoothing


class Companion(NamedTuple):
    """A picture beside the excitatory one: the view of a section in `companions`."""

    crop: Crop
    term: str
    about: str  # entry of the glossary
    words: str


class Partner(NamedTuple):
    """Another unit that a page names, with its picture."""

    layer: str | None  # None if the heading of the list names it
    link: Link
    thumbnail: str | None
    slice: str | None  # where the weights between the two are in the unit's filter picture
    strength: str


def site_of(contents: Contents, base_url: str = "", landing: str = "") -> Site:
    """What every page shows about the network."""
    facts = contents.facts
    classifier = facts.classifier
    return Site(
        title=f"Atlas of {facts.name}",
        network=facts.name,
        weights=facts.weights,
        sha256=facts.sha256[:12],
        recipe=f"{contents.spec.recipe}, {contents.spec.preset}",
        seed=contents.spec.seed,
        classifier=paths.layer_page(classifier.name) if classifier else None,
        has_labels=bool(facts.labels),
        base_url=f"{base_url.rstrip('/')}/" if base_url else "",
        sheet_settings=data_attributes(sheet=paths.SHEET, digits=paths.SHEET_DIGITS),
        landing=landing,
        has_map=contents.has_map,
    )


def page_settings() -> dict[str, str | int]:
    """How pages and pictures are called."""
    return {
        "layer": paths.LAYER_PAGE,
        "page": paths.UNIT_PAGE,
        "picture": paths.UNIT_PICTURE,
        "values": paths.LAYER_VALUES,
        "photographs": paths.LAYER_PHOTOGRAPHS,
        "photograph": paths.PHOTOGRAPH,
        "digits": paths.UNIT_DIGITS,
        "compare": paths.COMPARE,
        "find": paths.FIND,
        "index": paths.SEARCH_INDEX,
        "about": paths.ABOUT,
        "glossary": paths.GLOSSARY,
    }


def data_attributes(**settings: str | int) -> Markup:
    """`data-layer="..." data-page="..."`, escaped."""
    return Markup(" ").join(
        Markup('data-{}="{}"').format(name, setting) for name, setting in settings.items()
    )


def stage_anchor(layers: Sequence[Layer], layer: Layer) -> str:
    """The id of the section of the front page that shows a layer's stage."""
    stages = list(dict.fromkeys(each.stage for each in layers))
    return f"stage-{stages.index(layer.stage) + 1}"


def layer_link(layer: str, root: str) -> Link:
    """A link to a layer's page, which every layer has."""
    return Link(layer, root + paths.layer_page(layer))


def unit_heading(contents: Contents, layer: Layer, index: int) -> str:
    """The name of a class, or `layer3.2.conv2, unit 17`."""
    label = contents.label(layer, index)
    return label or f"{layer.name}, {words_of(layer).noun} {index}"


def unit_link(contents: Contents, layer: str, index: int, text: str, root: str) -> Link:
    """A link to a unit's page, or only text if the unit has none."""
    page = contents.pages[layer].get(index)
    return Link(text, f"{root}{page}" if page else None)


def picture_alt(contents: Contents, layer: Layer, index: int) -> str:
    """The alternative text of an excitatory picture."""
    where = "" if contents.label(layer, index) else f" of {layer.name}"
    return f"Synthetic picture that excites {unit_words(contents, layer, index)}{where}"


def unit_words(contents: Contents, layer: Layer, index: int) -> str:
    """`unit 3` or `the class “tench”`, in a sentence on the unit's own page."""
    label = contents.label(layer, index)
    return f"the class “{label}”" if label else f"unit {index}"


def unit_card_picture(contents: Contents, unit: Unit) -> CardPicture | None:
    """A unit's excitatory picture for a card, None if it was not made."""
    entry = contents.entry(unit, EXCITATORY)
    if entry is None:
        return None
    alt = picture_alt(contents, contents.facts.layer(unit.layer), unit.index)
    return CardPicture(paths.unit_picture(unit), (entry.width_px, entry.height_px), alt)


def crop_of(sprite: Sprite, alt: str, *, is_whole: bool = False) -> Crop:
    """A picture of a sheet, for a page in the folder of the sheet's layer."""
    sheet, sheet_px = sprite.place.sheet, sprite.sheet_px
    return crop_from(sheet, sheet_px, sprite.corner_px, sprite.size_px, alt, is_whole=is_whole)


def crop_from(
    src: str, sheet_px: Size, corner_px: Size, size_px: Size, alt: str, *, is_whole: bool = False
) -> Crop:
    """A part of a picture that has several side by side.

    Where it is scaled smoothly, its neighbours are mixed into its outermost pixels, so these are
    left out, unless the whole of it is wanted.
    """
    (left, top), (width, height) = corner_px, size_px
    is_small = width < SMALL_PX
    rim_px = 0 if is_small or is_whole else 1
    return Crop(
        src=src,
        view_box=f"{left + rim_px} {top + rim_px} {width - 2 * rim_px} {height - 2 * rim_px}",
        sheet_px=sheet_px,
        alt=alt,
        pixelated=is_small,
    )


def cell_of(sprite: Sprite, alt: str) -> Cell:
    """A whole cell of a sheet, for a page in the folder of the sheet's layer."""
    place = sprite.place
    return Cell(place.sheet, place.column, place.row, alt)


def partner_of(
    contents: Contents,
    layer: Layer,
    index: int,
    strength: str,
    slice_box: str | None = None,
    *,
    named: bool,
    home: str = "",
) -> Partner:
    """A unit with its picture and link, and with the name of its layer if it is `named`.

    Paths of units in the layer `home`, whose folder the page is in, are short.
    """
    unit, page = layer.units[index], contents.pages[layer.name].get(index)
    text = contents.label(layer, index) or str(index)

    def near(path: str) -> str:
        return own_name(unit, path) if home == layer.name else f"../{path}"

    return Partner(
        layer.name if named else None,
        Link(text, near(page) if page else None),
        near(paths.unit_picture(unit)) if contents.has_picture(unit) else None,
        slice_box,
        strength,
    )


def counted_units(layer: Layer, n_units: int) -> str:
    """`1,000 classes`, `64 units`."""
    words = words_of(layer)
    return wording.count(n_units, words.noun, words.plural)


def own_name(unit: Unit, path: str) -> str:
    """A path in the folder of a unit's layer, relative to that folder."""
    return path.removeprefix(f"{unit.layer}/")


def spread(indices: Iterable[int], n: int) -> tuple[int, ...]:
    """At most `n` of `indices`, evenly spaced and including the first."""
    every = tuple(indices)
    n_chosen = min(n, len(every))
    return tuple(every[position * len(every) // n_chosen] for position in range(n_chosen))
