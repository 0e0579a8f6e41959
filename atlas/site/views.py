"""What the site is made from, and the small things that every page's view shares.

A view is frozen data of finished words and links: templates only place it. The parts of a unit's
page are named tuples: a page has a hundred of them, and dataclasses take three times as long to
make.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from atlas.cache import Entry
from atlas.site.sprites import EXAMPLES, OF_OWN_SIZE, Size, Sprite, place_of
from atlas.spec import PER_LAYER, SMALL_PX, first_on_sheet
from atlas.units import Kind, Layer, NetworkFacts, Unit, canonical_json, layer_dir, unit_page

# What a measurement of a whole layer says of itself; its other numbers are lists of one per unit.
PANEL_FACTS = frozenset({"n_images", "n_skipped", "skipped", "n_classes", "folder_sha256", "basis"})
PANEL_LISTS = frozenset(  # that its other numbers point into, or go with
    {"files", "file_classes", "classes", "orientations_deg", "periods_px", "hues_deg", "radii_px"}
)


@dataclass(frozen=True)
class SpecSummary:
    """What the pages say of how the pictures were asked for."""

    recipe: str  # "fourier"
    preset: str  # "standard"
    seed: int
    layers: Mapping[str, Mapping[str, Any]]  # layer -> its excitatory recipe, as spec.describe says


@dataclass(frozen=True)
class Contents:
    """Everything a site is made from. `read` is only called from the thread that writes the site.

    `entries` holds, by unit id, an entry for each kind of artifact there is; by the name of a layer
    those that are made once for all of its units.
    """

    facts: NetworkFacts
    spec: SpecSummary
    entries: Mapping[str, Mapping[str, Entry]]
    read: Callable[[str], bytes]
    likes: tuple[Entry, ...] = ()  # images that were looked up

    def entry(self, unit: Unit, kind: Kind) -> Entry | None:
        """The entry of one kind of artifact, if it was made."""
        return self.entries.get(unit.id, {}).get(kind)

    def panel(self, unit: Unit, kind: Kind) -> dict[str, Any]:
        """The numbers of one unit in what was measured on its whole layer at once."""
        rows = self._panels[unit.layer].get(kind)
        return rows[unit.index] if rows else {}

    def panel_facts(self, layer: Layer, kind: Kind) -> dict[str, Any]:
        """What such a measurement says of itself, and the lists that its numbers point into."""
        entry = self.entry(layer.whole, kind)
        numbers = entry.numbers if entry else {}
        return {name: numbers[name] for name in numbers if name in PANEL_FACTS | PANEL_LISTS}

    @functools.cached_property
    def _panels(self) -> Mapping[str, Mapping[Kind, Sequence[dict[str, Any]]]]:
        """By layer and kind, the numbers of each unit: asked for many times, made once."""
        return {
            layer.name: {
                kind: rows
                for kind in PER_LAYER
                if (entry := self.entry(layer.whole, kind)) and (rows := _rows(entry.numbers))
            }
            for layer in self.facts.layers
        }

    @functools.cached_property
    def digest(self) -> str:
        """Of everything there is to show; of a picture's bytes by their own digest."""
        parts = [self.digests[layer.name] for layer in self.facts.layers]
        return _digest("".join([*parts, *(entry.key for entry in self.likes)]))

    @functools.cached_property
    def digests(self) -> Mapping[str, str]:
        """By layer, of everything that its pages show.

        Of other layers that is no more than which of their units have a page, and a picture.
        """
        spec = canonical_json(dataclasses.asdict(self.spec))
        there = [
            f"{unit_id}{'excitatory' in made}{made.keys() <= {'examples'}}"
            for unit_id, made in sorted(self.entries.items())
        ]
        shared = _digest("".join([self.facts.to_json(), spec, *there]))
        return {
            layer.name: _digest(shared + "".join(self._told(layer))) for layer in self.facts.layers
        }

    def _told(self, layer: Layer) -> Iterator[str]:
        for unit in (layer.whole, *layer.units):
            for kind, entry in sorted(self.entries.get(unit.id, {}).items()):
                yield f"{kind}{entry.key}{entry.sha256}{entry.numbers_json}"

    def prepare(self) -> None:
        """Lay out what all pages share, before several threads ask for it."""
        _ = self.pages, self._panels, self._cells_px

    @functools.cached_property
    def paged(self) -> Mapping[str, tuple[int, ...]]:
        """By layer, the units that have a page: those with any picture."""
        return {
            layer.name: tuple(unit.index for unit in layer.units if self._has_page(unit))
            for layer in self.facts.layers
        }

    def _has_page(self, unit: Unit) -> bool:
        """Examples are on sheets of nine units, whether or not these were chosen."""
        made = self.entries.get(unit.id)
        return made is not None and not made.keys() <= {"examples"}

    @functools.cached_property
    def pages(self) -> Mapping[str, Mapping[int, str]]:
        """By layer and unit, the paths of all unit pages."""
        return {
            layer.name: {index: unit_page(layer.unit(index)) for index in self.paged[layer.name]}
            for layer in self.facts.layers
        }

    @property
    def n_pages(self) -> int:
        """Units that have a page."""
        return sum(len(indices) for indices in self.paged.values())

    def n_made(self, kind: Kind) -> int:
        """How many artifacts of one kind there are."""
        return sum(kind in made for made in self.entries.values())

    @property
    def n_dead(self) -> int:
        """Units with a picture that nothing drives."""
        return sum(is_dead(made.get("excitatory")) for made in self.entries.values())

    def sprite(self, layer: Layer, index: int, kind: Kind) -> Sprite | None:
        """Where to find a unit's picture of a kind that has sheets, if it was made."""
        entry = self.entry(layer.unit(index), kind)
        if entry is None:
            return None
        sheets, place = OF_OWN_SIZE[kind], place_of(kind, layer, index)
        return Sprite(
            place,
            sheets.columns,
            self._cells_px[layer.name, place.sheet],
            sheets.fitted_px((entry.width_px, entry.height_px)),
        )

    def strip(self, layer: Layer, index: int) -> Sprite | None:
        """Where to find a unit's examples in photographs, if there are any."""
        sheet = self.entry(layer.unit(first_on_sheet(index)), "examples")
        if sheet is None or not sheet.width_px:
            return None
        n = EXAMPLES.columns
        size_px = sheet.width_px // n, sheet.height_px // n
        return Sprite(EXAMPLES.place(index), n, size_px, size_px)

    @functools.cached_property
    def _cells_px(self) -> Mapping[tuple[str, str], Size]:
        """By layer and sheet, the size of the cells that hold pictures of their own size."""
        cells: dict[tuple[str, str], Size] = {}
        for layer in self.facts.layers:
            for kind, sheets in OF_OWN_SIZE.items():
                for sheet, sizes_px in self._sizes_px(layer, kind).items():
                    cells[layer.name, sheet] = sheets.cell_size_px(sizes_px)
        return cells

    def _sizes_px(self, layer: Layer, kind: Kind) -> Mapping[str, list[Size]]:
        """By sheet, the sizes of the pictures on it."""
        sizes: dict[str, list[Size]] = defaultdict(list)
        for index in self.paged[layer.name]:
            if entry := self.entry(layer.unit(index), kind):
                sheet = place_of(kind, layer, index).sheet
                sizes[sheet].append((entry.width_px, entry.height_px))
        return sizes

    def label(self, layer: Layer, index: int) -> str | None:
        """The class name of a unit of the classifier."""
        named = layer.kind == "classifier" and index < len(self.facts.labels)
        return self.facts.labels[index] if named else None

    def title(self, layer: Layer, index: int) -> str:
        """What a unit is called in a heading."""
        return self.label(layer, index) or f"Unit {index}"


@dataclass(frozen=True)
class Site:
    """What every page says of the whole: read by templates as `site`."""

    network: str
    weights: str
    sha256: str
    recipe: str
    seed: int
    classifier: str | None  # name of the layer of the classes
    has_labels: bool
    base_url: str  # ends with a slash; empty if nobody said where the site will be


class Card(NamedTuple):
    """What a page that people pass on looks like in a social network."""

    page: str  # path of the page, relative to the site's root
    picture: str | None  # and of the picture that stands for it


class Head(NamedTuple):
    """The part of a view that the base template reads."""

    title: str
    description: str
    root: str  # from the page to the site's root: "" or "../"
    section: str = ""  # which entry of the navigation is current
    card: Card | None = None


class Link(NamedTuple):
    """Words that lead somewhere, or only words when there is no such page."""

    text: str
    href: str | None


class Fact(NamedTuple):
    """A term and what there is to say of it."""

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
    pixelated: bool  # too small to be shown as it is: enlarged with its pixels kept apart


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=20).hexdigest()


def _rows(numbers: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Lists with a number for each unit, as the numbers of each unit."""
    names = [name for name in numbers if name not in PANEL_FACTS | PANEL_LISTS]
    lists = [numbers[name] for name in names]
    if not lists or any(not isinstance(each, list) for each in lists):
        return []  # of a picture of the whole layer
    return [dict(zip(names, row, strict=True)) for row in zip(*lists, strict=True)]


def site_of(contents: Contents, base_url: str = "") -> Site:
    """The words that all pages share."""
    facts = contents.facts
    classifiers = [layer.name for layer in facts.layers if layer.kind == "classifier"]
    return Site(
        network=facts.name,
        weights=facts.weights,
        sha256=facts.sha256[:12],
        recipe=f"{contents.spec.recipe}, {contents.spec.preset}",
        seed=contents.spec.seed,
        classifier=classifiers[-1] if classifiers else None,
        has_labels=bool(facts.labels),
        base_url=f"{base_url.rstrip('/')}/" if base_url else "",
    )


def layer_link(layer: str, root: str) -> Link:
    """A link to a layer's page, which every layer has."""
    return Link(layer, f"{root}{layer_dir(layer)}/index.html")


def unit_link(contents: Contents, layer: str, index: int, text: str, root: str) -> Link:
    """A link to a unit's page, or bare words where the unit has none."""
    page = contents.pages[layer].get(index)
    return Link(text, f"{root}{page}" if page else None)


def picture_alt(contents: Contents, layer: Layer, index: int) -> str:
    """What an excitatory picture is, in words for those who do not see it."""
    label = contents.label(layer, index)
    whom = f"the class “{label}”" if label else f"unit {index} of {layer.name}"
    return f"Synthetic picture that excites {whom}"


def crop_of(sprite: Sprite, alt: str) -> Crop:
    """A picture of a sheet, for a page of the sheet's layer."""
    (left, top), (width, height) = sprite.corner_px, sprite.size_px
    return Crop(
        src=sprite.place.sheet,
        view_box=f"{left} {top} {width} {height}",
        sheet_px=sprite.sheet_px,
        alt=alt,
        pixelated=width < SMALL_PX,
    )


def is_dead(entry: Entry | None) -> bool:
    """Whether nothing that was tried changed what a unit answers."""
    return entry is not None and entry.numbers.get("dead") is True


def spread(indices: Iterable[int], n: int) -> tuple[int, ...]:
    """At most `n` of `indices`, evenly spaced, the first always among them."""
    known = tuple(indices)
    chosen = min(n, len(known))
    return tuple(known[position * len(known) // chosen] for position in range(chosen))
