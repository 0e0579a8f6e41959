"""The responses of every unit to the photographs of a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from atlas.asked import AtlasSpec
from atlas.costs import Cost, pass_cost
from atlas.kinds.kind import (
    Column,
    Evidence,
    EvidenceRow,
    Kind,
    Preset,
    Section,
    TextColumn,
    WholeLayer,
)
from atlas.records import axis, internal, per_unit, value
from atlas.units import Layer, NetworkFacts, Preprocessing

# For every unit of a layer, a list of [position in `files`, row, column, response].
Sightings = Sequence[Sequence[Sequence[float]]]


DECODING_MACS = 1e9  # for a photograph, as long as 6 ms of an ascent
N_SAID = 5  # photographs that are named where it is said how many were skipped
MAX_KEPT = 2**27  # responses of all units that are kept, with their positions: 0.5 GB
N_SAMPLED_LEAST = 512  # photographs whose responses are kept, however many units there are


@dataclass(frozen=True)
class NaturalSpec:
    """Responses to photographs that are prepared as the weights expect them."""

    name: ClassVar[str] = "natural"
    version: ClassVar[int] = 3

    images_sha256: str  # of the names and bytes of all images
    preprocessing: Preprocessing
    n_top: int = 9  # strongest photographs kept for each unit
    n_sampled: int = 512  # photographs, the same for all units, whose responses are all kept


@dataclass(frozen=True)
class NaturalRecord:
    """The responses of a layer's units to photographs; lists are left out if none was read."""

    n_images: int = value("number of photographs that were read")
    n_skipped: int = value("number of photographs that could not be read")
    skipped: Sequence[str] = value("names of some photographs that could not be read")
    n_classes: int = value("number of classes that the photographs are sorted into")
    images_sha256: str = value("digest of the names and bytes of all photographs", "folder_sha256")
    skipped_because: Sequence[str] = value("why each of `skipped` could not be read", default=())
    skipped_counts: Mapping[str, int] | None = value(
        "number of photographs that could not be read, by reason", default=None
    )
    files: Sequence[str] = axis("names of the photographs in `top` and `spread`", default=())
    file_classes: Sequence[int] = axis(
        "class of each photograph in `files`, a position in `classes`, or -1 if it has none",
        default=(),
    )
    classes: Sequence[str] = axis("names of the classes", default=())
    highest: Sequence[float] | None = per_unit("the highest response", "{score}_max", default=None)
    lowest: Sequence[float] | None = per_unit("the lowest response", "{score}_min", default=None)
    highest_file: Sequence[str] | None = per_unit(
        "photograph with the highest response", "highest", default=None
    )
    lowest_file: Sequence[str] | None = per_unit(
        "photograph with the lowest response", "lowest", default=None
    )
    fires: Sequence[float] | None = per_unit(
        "share of photographs in which the unit fires at any position", default=None
    )
    active: Sequence[float] | None = per_unit(
        "share of positions at which the unit fires, averaged over all photographs", default=None
    )
    selectivity: Sequence[float | None] | None = per_unit(
        "selectivity for the favourite class against all others, 0 to 1", default=None
    )
    favourite: Sequence[int | None] | None = per_unit(
        "class with the highest mean activation, a position in `classes`", "class", default=None
    )
    top: Sightings | None = per_unit(
        "strongest photographs: each [position in `files`, row, column, response]",
        default=None,
    )
    spread: Sightings | None = per_unit(
        "a photograph with a strong, a middle and a weak response, each as in `top`", default=None
    )
    sampled_classes: Sequence[int] = internal(
        "class of each sampled photograph, a position in `classes`, or -1 if it has none",
        default=(),
    )

    def ends(self, index: int) -> tuple[float | None, float | None]:
        """The lowest and highest response, as the ends of a band on the axis of evidence."""
        if self.lowest is None or self.highest is None:
            return None, None
        return self.lowest[index], self.highest[index]

    @property
    def skipped_words(self) -> str:
        """How many photographs were not used, and why; empty if all were."""
        if not self.n_skipped:
            return ""
        n_files = self.n_images + self.n_skipped
        because = [*self.skipped_because, *[""] * len(self.skipped)]
        named = [
            f"{name}: {why}" if why else name
            for name, why in zip(self.skipped, because, strict=False)
        ]
        groups = [f"{count:,} {group}" for group, count in (self.skipped_counts or {}).items()]
        return (
            f"{self.n_skipped:,} of {n_files:,} photographs were skipped"
            f"{': ' * bool(groups)}{', '.join(groups)} ({'; '.join(named[:N_SAID])}"
            f"{'; ...' * (self.n_skipped > N_SAID)})"
        )

    def best(self, index: int) -> str | None:
        """The photograph that drives a unit most."""
        return self.highest_file[index] if self.highest_file else None


def spec(asked: AtlasSpec, layer: Layer, facts: NetworkFacts) -> NaturalSpec:
    """The spec, which is the same for all layers."""
    n_sampled = max(N_SAMPLED_LEAST, MAX_KEPT // facts.n_units)
    return NaturalSpec(asked.images_sha256, facts.preprocessing, n_sampled=n_sampled)


def has_images(asked: AtlasSpec, layer: Layer, facts: NetworkFacts) -> bool:
    """Whether photographs are or were given."""
    return bool(asked.images_sha256)


def cost(spec: NaturalSpec, layer: Layer, facts: NetworkFacts, n_photographs: int) -> Cost:
    """The work for reading all photographs and showing them."""
    return pass_cost(n_photographs, layer, facts, DECODING_MACS)


KIND = Kind(
    name="natural",
    about="what every unit answers to the photographs of --images",
    scope=WholeLayer(),
    spec=spec,
    record=NaturalRecord,
    make="atlas.kinds.natural.make:make",
    cost=cost,
    is_one_pass=True,
    make_part="atlas.kinds.natural.make:make_part",
    join_parts="atlas.kinds.natural.make:join_parts",
    span_of_part="atlas.kinds.natural.tally:span_of_part",
    folder=Path(__file__).parent,
    order=55,
    possible=has_images,
    needs="photographs: give a folder with --images",
    needs_images=True,
    columns=(
        Column(
            "share of photographs",
            "fires",
            words="in which it fires anywhere: 0 none, 1 all",
            about="fires",
            presets=(Preset("rarely fires", high=0.01), Preset("nearly always fires", low=0.99)),
        ),
        Column(
            "class selectivity",
            "selectivity",
            words="0: answers to all classes alike, 1: to one alone",
            about="selectivity",
            presets=(Preset("one class only", low=0.8),),
        ),
    ),
    text_columns=(
        TextColumn(
            "favourite class",
            "atlas.kinds.natural.view:favourites",
            words="whose photographs drive it most on average",
            about="selectivity",
        ),
    ),
    evidence=Evidence(
        "photos",
        is_point=False,
        order=20,
        rows=(
            EvidenceRow("Best photograph", "high", 20, about="natural"),
            EvidenceRow("Lowest photograph", "low", 40),
        ),
        median="atlas.kinds.natural.view:median_words",
        median_order=30,
    ),
    unit_sections=(Section("gallery", "section.html", "atlas.kinds.natural.view:section_view"),),
    prepare="atlas.kinds.natural.prepared:prepare",
    units_shown="atlas.kinds.natural.whole:units_shown",
    front_facts="atlas.kinds.natural.view:front_facts",
    glossary="glossary.html",
)
