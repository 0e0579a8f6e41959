"""What there is to know about one kind of artifact: `Kind`, and the data that it is made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, Protocol

from atlas.addressing import ArtifactSpec
from atlas.asked import AtlasSpec
from atlas.records import RecordType
from atlas.sheets import SMALL_PX, SheetKind
from atlas.units import Layer, NetworkFacts, Unit

# Of the page of a unit: on the left the large picture, small ones beneath it, and what follows; on
# the right notes; below both the rest. Of the page of a layer: figure and below.
PagePart = Literal["picture", "companions", "gallery", "notes", "below", "figure"]


class Scope(Protocol):
    """What one artifact is made for: a unit, a sample, several units together, a whole layer."""

    def units(self, layer: Layer, chosen: Sequence[Unit]) -> tuple[Unit, ...]:
        """What artifacts are made for when these units of a layer are chosen."""

    def position(self, layer: Layer, index: int) -> int:
        """Where a unit's picture stands, counted over all sheets of the layer."""


@dataclass(frozen=True)
class EachUnit:
    """An artifact for every unit."""

    def units(self, layer: Layer, chosen: Sequence[Unit]) -> tuple[Unit, ...]:
        """The chosen units themselves."""
        return tuple(chosen)

    def position(self, layer: Layer, index: int) -> int:
        """In the order of the units."""
        return index


@dataclass(frozen=True)
class Sample:
    """An artifact for some units of every layer: evenly spread, always the same ones."""

    n_units: int

    def indices(self, layer: Layer) -> tuple[int, ...]:
        """The units of the sample."""
        n_units = min(self.n_units, layer.n_units)
        return tuple(nth * layer.n_units // n_units for nth in range(n_units))

    def units(self, layer: Layer, chosen: Sequence[Unit]) -> tuple[Unit, ...]:
        """Those of the chosen units that are in the sample."""
        indices = self.indices(layer)
        return tuple(unit for unit in chosen if unit.index in indices)

    def position(self, layer: Layer, index: int) -> int:
        """In the order of the sample."""
        return self.indices(layer).index(index)


@dataclass(frozen=True)
class SheetOf:
    """An artifact for several neighbouring units together, named after the first of them."""

    n_units: int

    def first(self, index: int) -> int:
        """The unit that the artifact of a unit is named after."""
        return index - index % self.n_units

    def units(self, layer: Layer, chosen: Sequence[Unit]) -> tuple[Unit, ...]:
        """The first units of all sheets that a chosen unit is on."""
        return tuple(dict.fromkeys(layer.unit(self.first(unit.index)) for unit in chosen))

    def position(self, layer: Layer, index: int) -> int:
        """In the order of the units."""
        return index


@dataclass(frozen=True)
class WholeLayer:
    """One artifact for all units of a layer."""

    def units(self, layer: Layer, chosen: Sequence[Unit]) -> tuple[Unit, ...]:
        """The layer itself."""
        return (layer.whole,)

    def position(self, layer: Layer, index: int) -> int:
        """In the order of the units."""
        return index


@dataclass(frozen=True)
class Source:
    """A kind of artifact that another is made from.

    From the artifact of the same layer; or from those of the whole network, as far as they are
    there: then the artifact is out of date as soon as there are more.
    """

    kind: str
    of: Literal["layer", "network"] = "layer"


@dataclass(frozen=True)
class Encoding:
    """How a picture is stored: lossy WebP, or lossless where it is smaller than some width."""

    quality: int = 78
    lossless_below_px: float = SMALL_PX

    def quality_for(self, width_px: int) -> int | None:
        """The quality for a picture of this width, None for lossless."""
        return None if width_px < self.lossless_below_px else self.quality


LOSSLESS = Encoding(lossless_below_px=math.inf)


@dataclass(frozen=True)
class Column:
    """A number that a layer's units can be sorted by.

    `{noun}` and `{unit}` in its name and unit stand for those of the layer's score.
    """

    name: str  # as people read it
    field: str  # its name in the kind's record
    unit: str = ""  # that it is counted in
    selective: str = ""  # field that must be at least `SELECTIVE` for the number to mean anything
    order: int | None = None  # among all columns; that of the kind if left out


SELECTIVE = 0.1  # a unit with a lower selectivity prefers no angle


@dataclass(frozen=True)
class EvidenceRow:
    """A line of the list beside the axis of evidence."""

    term: str
    end: Literal["low", "high", "range"]
    order: int
    about: str | None = None  # entry of the glossary


@dataclass(frozen=True)
class Evidence:
    """What a kind contributes to the axis of evidence; its records have a method `ends`."""

    style: str  # class of the style sheet for its mark and its lines
    is_point: bool  # one mark, or a band
    order: int  # marks are drawn in this order, wide bands first
    rows: tuple[EvidenceRow, ...]
    median: str = ""  # (contents, layer) -> what the median of the units' peaks is taken on
    median_order: int = 0


@dataclass(frozen=True)
class Section:
    """A piece of a page: a template of the kind's folder and the function that makes its view.

    `view` names a function (contents, layer, unit) for the page of a unit, (contents, layer) for
    the page of a layer; where it returns None, there is no such section on the page.
    """

    place: PagePart
    template: str
    view: str
    order: int | None = None  # within its place; that of the kind if left out


@dataclass(frozen=True)
class Kind(Generic[RecordType]):
    """Everything that there is to know about one kind of artifact.

    Functions that import torch, or parts of the site, are given as `package.module:name`.
    """

    name: str
    about: str  # one line, for --help
    scope: Scope
    spec: Callable[[AtlasSpec, Layer, NetworkFacts], ArtifactSpec]
    record: type[RecordType]
    make: str  # (renderer, jobs) -> batches of finished artifacts
    folder: Path  # of its templates
    order: int = 100  # among other kinds on pages
    possible: Callable[[AtlasSpec, Layer, NetworkFacts], bool] | None = None
    needs: str = ""  # what is missing where it is not possible
    needs_images: bool = False  # to be made, photographs must be there
    sources: Callable[[AtlasSpec], tuple[Source, ...]] | None = None
    steps: Callable[[Any, NetworkFacts], float] | None = None  # full-size steps for one unit
    is_made_on_host: bool = False  # rather than on the device
    is_file: bool = False  # the site has each picture as a file of its own
    encoding: Encoding = Encoding()
    sheet: SheetKind | None = None  # for pictures that the site shows on sprite sheets
    sheet_words: str = ""  # what the grid of a layer calls them, if it can show them
    columns: tuple[Column, ...] = ()
    evidence: Evidence | None = None
    unit_sections: tuple[Section, ...] = ()
    layer_sections: tuple[Section, ...] = ()
    front_facts: str = ""  # (contents) -> facts for the front page
    glossary: str = ""  # template with its entries

    def is_possible(self, asked: AtlasSpec, layer: Layer, facts: NetworkFacts) -> bool:
        """Whether a layer can have artifacts of this kind."""
        return self.possible is None or self.possible(asked, layer, facts)

    def sources_of(self, asked: AtlasSpec) -> tuple[Source, ...]:
        """The kinds of artifact that these are made from."""
        return self.sources(asked) if self.sources else ()

    def steps_of(self, spec: ArtifactSpec, facts: NetworkFacts) -> float:
        """Full-size steps of ascent for one unit; single passes forward count as none."""
        return self.steps(spec, facts) if self.steps else 0.0
