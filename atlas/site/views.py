"""What the site is made from, and the small things that every page's view shares.

A view is frozen data of finished words and links: templates only place it. Views are also the
pages' inputs as far as rebuilding is concerned, so what is not shown has no place in them.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from atlas.cache import Entry
from atlas.site.sprites import FILTERS, cell_size_px
from atlas.units import Layer, NetworkFacts, Unit, layer_dir, unit_page


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

    `entries` holds, by unit id, an entry for each kind of picture there is.
    """

    facts: NetworkFacts
    spec: SpecSummary
    entries: Mapping[str, Mapping[str, Entry]]
    read: Callable[[str], bytes]

    def entry(self, unit: Unit, kind: str) -> Entry | None:
        """The entry of one kind of picture, if it was made."""
        return self.entries.get(unit.id, {}).get(kind)

    @functools.cached_property
    def paged(self) -> Mapping[str, tuple[int, ...]]:
        """By layer, the units that have a page: those with any picture."""
        return {
            layer.name: tuple(unit.index for unit in layer.units if self.entries.get(unit.id))
            for layer in self.facts.layers
        }

    @functools.cached_property
    def pages(self) -> Mapping[str, Mapping[int, str]]:
        """By layer and unit, the paths of all unit pages."""
        return {
            layer: {index: unit_page(Unit(layer, index)) for index in indices}
            for layer, indices in self.paged.items()
        }

    @property
    def n_pages(self) -> int:
        """Units that have a page."""
        return sum(len(indices) for indices in self.paged.values())

    @functools.cached_property
    def filter_cells(self) -> Mapping[tuple[str, str], tuple[int, int]]:
        """By layer and sheet, the size in pixels of the cells that hold filter pictures."""
        sizes: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
        for layer, indices in self.paged.items():
            for index in indices:
                if entry := self.entry(Unit(layer, index), "filter"):
                    sheet = FILTERS.place(index).sheet
                    sizes[layer, sheet].append((entry.width_px, entry.height_px))
        return {sheet: cell_size_px(found) for sheet, found in sizes.items()}

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


@dataclass(frozen=True)
class Head:
    """The part of a view that the base template reads."""

    title: str
    description: str
    root: str  # from the page to the site's root: "" or "../"
    section: str = ""  # which entry of the navigation is current


@dataclass(frozen=True)
class Link:
    """Words that lead somewhere, or only words when there is no such page."""

    text: str
    href: str | None


@dataclass(frozen=True)
class Fact:
    """A term and what there is to say of it."""

    term: str
    value: str
    href: str | None = None
    about: str | None = None  # entry of the glossary that explains the term


@dataclass(frozen=True)
class Cell:
    """A picture inside a sprite sheet."""

    src: str  # relative to the page
    column: int
    row: int
    alt: str


def site_of(contents: Contents) -> Site:
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


def spread(indices: Iterable[int], n: int) -> tuple[int, ...]:
    """At most `n` of `indices`, evenly spaced, the first always among them."""
    known = tuple(indices)
    chosen = min(n, len(known))
    return tuple(known[position * len(known) // chosen] for position in range(chosen))
