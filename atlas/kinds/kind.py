"""`Kind`, the definition of one kind of artifact, and the types of its fields."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, Protocol

from atlas.addressing import ArtifactSpec
from atlas.asked import AtlasSpec
from atlas.costs import NO_COST, Cost
from atlas.records import RecordType
from atlas.sheets import SMALL_PX, SheetKind
from atlas.units import Layer, NetworkFacts, Unit

# On a unit's page, `lead` is under the title. The large picture is on the left, with its companions
# under it; the notes are on the right. Under both are the gallery and then `below`. A layer's page
# has `figure` and `below`.
PagePart = Literal["lead", "picture", "companions", "gallery", "notes", "below", "figure"]


class Scope(Protocol):
    """What one artifact is made for: a unit, a sample, several units, a layer, the network."""

    def units(self, layer: Layer, chosen: Sequence[Unit]) -> tuple[Unit, ...]:
        """The units that artifacts are made for when these units of a layer are chosen."""

    def position(self, layer: Layer, index: int) -> int:
        """The position of a unit's picture, counted over all sheets of the layer."""


@dataclass(frozen=True)
class EachUnit:
    """An artifact for every unit."""

    def units(self, layer: Layer, chosen: Sequence[Unit]) -> tuple[Unit, ...]:
        """The chosen units themselves."""
        return tuple(chosen)

    def position(self, layer: Layer, index: int) -> int:
        """The index of the unit."""
        return index


@dataclass(frozen=True)
class Sample:
    """An artifact for a fixed sample of every layer's units, evenly spaced."""

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
        """The unit's position in the sample."""
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
        """The index of the unit."""
        return index


@dataclass(frozen=True)
class WholeLayer:
    """One artifact for all units of a layer."""

    def units(self, layer: Layer, chosen: Sequence[Unit]) -> tuple[Unit, ...]:
        """The layer itself."""
        return (layer.whole,)

    def position(self, layer: Layer, index: int) -> int:
        """The index of the unit."""
        return index


@dataclass(frozen=True)
class WholeNetwork(WholeLayer):
    """One artifact for all units of the network, kept under its first layer."""

    def units(self, layer: Layer, chosen: Sequence[Unit]) -> tuple[Unit, ...]:
        """The first layer; nothing for any other."""
        return (layer.whole,) if layer.index == 0 else ()


@dataclass(frozen=True)
class Source:
    """A kind of artifact that another is made from.

    It is made from the artifacts of the same layer, or from those of the whole network that exist.
    In the latter case it is out of date as soon as more of them exist.
    """

    kind: str
    of: Literal["layer", "network"] = "layer"


@dataclass(frozen=True)
class Encoding:
    """How a picture is stored: as lossy WebP, or losslessly if it is narrower than a limit."""

    quality: int = 78
    lossless_below_px: float = SMALL_PX

    def quality_for(self, width_px: int) -> int | None:
        """The quality for a picture of this width, None for lossless."""
        return None if width_px < self.lossless_below_px else self.quality


LOSSLESS = Encoding(lossless_below_px=math.inf)


@dataclass(frozen=True)
class Preset:
    """A range of a column's numbers that has a name: units in it are found by one click.

    Of an angle, `low` may be higher than `high`: the range runs through the full turn.
    """

    name: str  # "rarely fires"
    low: float | None = None
    high: float | None = None

    def holds(self, value: float) -> bool:
        """Whether a number is in the range; NaN is in none."""
        above = self.low is None or value >= self.low
        below = self.high is None or value <= self.high
        goes_round = self.low is not None and self.high is not None and self.low > self.high
        return above or below if goes_round else above and below


@dataclass(frozen=True)
class Column:
    """A number that units can be sorted by and found by.

    `{noun}`, `{unit}` and `{about}` stand for those of the layer's score.
    """

    name: str  # as people read it
    field: str  # its name in the kind's record
    unit: str = ""  # of measurement
    selective: str = ""  # field that must be at least `SELECTIVE` for the number to mean anything
    order: int | None = None  # among all columns; that of the kind if left out
    full_turn: int = 0  # the angle at which angles begin again; 0: it is no angle
    words: str = ""  # what the number says, in a few plain words
    about: str = ""  # entry of the glossary
    presets: tuple[Preset, ...] = ()
    is_partial: bool = False  # whether units without a number were measured, and lack the property


@dataclass(frozen=True)
class TextColumn:
    """A word for each unit that units can be found by, such as a class."""

    name: str
    texts: str  # (contents, layer) -> the words of all units, None where there is none
    words: str = ""  # as of a `Column`
    about: str = ""
    is_title: bool = False  # whether it is shown beside units that are found
    is_partial: bool = False  # as of a `Column`


SELECTIVE = 0.1  # units with a lower selectivity count as preferring no angle


@dataclass(frozen=True)
class EvidenceRow:
    """A line of the list below the axis of evidence."""

    term: str
    end: Literal["low", "high", "range"]
    order: int
    about: str | None = None  # entry of the glossary


@dataclass(frozen=True)
class Evidence:
    """What a kind contributes to the axis of evidence; its records have a method `ends`."""

    style: str  # class of the style sheet for its mark and its lines
    is_point: bool  # whether it is drawn as a point rather than a band
    order: int  # marks are drawn in this order, wide bands first
    rows: tuple[EvidenceRow, ...]
    median: str = ""  # (contents, layer) -> what units respond to, for their median response
    median_order: int = 0


@dataclass(frozen=True)
class Section:
    """A piece of a page: a template of the kind's folder and the function that makes its view.

    The template defines a macro `section(view)`. `view` names a function (contents, layer, unit)
    for the page of a unit, (contents, layer) for the page of a layer; where it returns None, there
    is no such section on the page.
    """

    place: PagePart
    template: str
    view: str
    order: int | None = None  # within its place; that of the kind if left out


@dataclass(frozen=True)
class Kind(Generic[RecordType]):
    """The definition of one kind of artifact.

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
    needs: str = ""  # what a layer or atlas lacks if it is not possible
    needs_images: bool = False  # whether making it reads photographs
    sources: Callable[[AtlasSpec], tuple[Source, ...]] | None = None
    steps: Callable[[Any, NetworkFacts], float] | None = None  # full-size steps for one unit
    # (spec, layer, facts, number of photographs) -> the work for all artifacts of a layer
    cost: Callable[[Any, Layer, NetworkFacts, int], Cost] | None = None
    is_one_pass: bool = False  # whether all layers share what they need once
    # Of a pass over images that can be made in parts:
    make_part: str = ""  # (renderer, jobs, positions of images, job of the part) -> bytes
    join_parts: str = ""  # (renderer, jobs, the bytes of all parts) -> finished batches
    span_of_part: str = ""  # (bytes of a part or of an interrupted pass) -> positions of its images
    is_made_on_host: bool = False  # rather than on the device
    layer_file: str = ""  # name of the file of a layer's picture; a "cover" represents the layer
    layer_alt: str = ""  # text for those who do not see it, with {layer}
    file_title: str = ""  # of pictures that are files of their own, with {unit} and {network}
    encoding: Encoding = Encoding()
    replaces: str = ""  # kind that a site does not show where it has this one
    is_shown_elsewhere: bool = False  # whether pages of other layers show its records
    sheet: SheetKind | None = None  # for pictures that the site shows on sprite sheets
    sheet_words: str = ""  # their name in a layer's grid; empty: the grid cannot show them
    columns: tuple[Column, ...] = ()
    text_columns: tuple[TextColumn, ...] = ()
    evidence: Evidence | None = None
    unit_sections: tuple[Section, ...] = ()
    layer_sections: tuple[Section, ...] = ()
    # (contents) -> what its sections show besides records; read once, before pages are made
    prepare: str = ""
    # (contents, layer) -> indices of the units that its sections show something of, even if they
    # have no artifact of their own
    units_shown: str = ""
    front_facts: str = ""  # (contents) -> facts for the front page
    glossary: str = ""  # template with its entries

    def is_possible(self, asked: AtlasSpec, layer: Layer, facts: NetworkFacts) -> bool:
        """Whether a layer can have artifacts of this kind."""
        return self.possible is None or self.possible(asked, layer, facts)

    def sources_of(self, asked: AtlasSpec) -> tuple[Source, ...]:
        """The kinds of artifact that these are made from."""
        return self.sources(asked) if self.sources else ()

    def steps_of(self, spec: ArtifactSpec, facts: NetworkFacts) -> float:
        """Full-size steps of ascent for one unit; forward passes alone do not count."""
        return self.steps(spec, facts) if self.steps else 0.0

    def cost_of(
        self, spec: ArtifactSpec, layer: Layer, facts: NetworkFacts, n_photographs: int
    ) -> Cost:
        """The work for artifacts of a layer."""
        return self.cost(spec, layer, facts, n_photographs) if self.cost else NO_COST
