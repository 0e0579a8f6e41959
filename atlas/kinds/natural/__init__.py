"""What every unit answers to the photographs of a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from atlas.asked import AtlasSpec
from atlas.kinds.kind import Column, Evidence, EvidenceRow, Kind, Section, WholeLayer
from atlas.records import axis, per_unit, value
from atlas.units import Layer, NetworkFacts, Preprocessing

# Of every unit of a layer: each [position in `files`, row, column, response].
Sightings = Sequence[Sequence[Sequence[float]]]


@dataclass(frozen=True)
class NaturalSpec:
    """Photographs, prepared as the weights expect them."""

    name: ClassVar[str] = "natural"
    version: ClassVar[int] = 3

    images_sha256: str  # of the names and bytes of all images
    preprocessing: Preprocessing
    n_top: int = 9  # photographs remembered for each unit
    n_sampled: int = 512  # photographs, the same for all units, whose responses are all remembered


@dataclass(frozen=True)
class NaturalRecord:
    """What the units of a layer answer to photographs; lists are left out where none was read."""

    n_images: int = value("photographs that were read")
    n_skipped: int = value("photographs that could not be read")
    skipped: Sequence[str] = value("some of their names")
    n_classes: int = value("classes that the photographs are sorted into")
    images_sha256: str = value("identity of the folder", "folder_sha256")
    files: Sequence[str] = axis("names that `top` and `spread` point to", default=())
    file_classes: Sequence[int] = axis(
        "their classes, positions in `classes`, -1: none", default=()
    )
    classes: Sequence[str] = axis("names of the classes", default=())
    highest: Sequence[float] | None = per_unit("the highest response", "{score}_max", default=None)
    lowest: Sequence[float] | None = per_unit("the lowest response", "{score}_min", default=None)
    highest_file: Sequence[str] | None = per_unit("its photograph", "highest", default=None)
    lowest_file: Sequence[str] | None = per_unit("its photograph", "lowest", default=None)
    fires: Sequence[float] | None = per_unit("share of photographs where it fires", default=None)
    active: Sequence[float] | None = per_unit(
        "share of positions where it fires, averaged over all photographs", default=None
    )
    selectivity: Sequence[float | None] | None = per_unit(
        "of its favourite class against all others, 0 to 1", default=None
    )
    favourite: Sequence[int | None] | None = per_unit(
        "its favourite class, a position in `classes`", "class", default=None
    )
    top: Sightings | None = per_unit(
        "its strongest photographs: each [position in `files`, row, column, response]",
        default=None,
    )
    spread: Sightings | None = per_unit("a strong, a middle and a weak one, alike", default=None)

    def ends(self, index: int) -> tuple[float | None, float | None]:
        """Both ends of a unit's band on the axis of evidence."""
        if self.lowest is None or self.highest is None:
            return None, None
        return self.lowest[index], self.highest[index]

    def best(self, index: int) -> str | None:
        """The photograph that drives a unit most."""
        return self.highest_file[index] if self.highest_file else None


def spec(asked: AtlasSpec, layer: Layer, facts: NetworkFacts) -> NaturalSpec:
    """The same for all layers."""
    return NaturalSpec(asked.images_sha256, facts.preprocessing)


def has_images(asked: AtlasSpec, layer: Layer, facts: NetworkFacts) -> bool:
    """Whether there are photographs."""
    return bool(asked.images_sha256)


KIND = Kind(
    name="natural",
    about="what every unit answers to the photographs of --images",
    scope=WholeLayer(),
    spec=spec,
    record=NaturalRecord,
    make="atlas.kinds.natural.make:make",
    folder=Path(__file__).parent,
    order=55,
    possible=has_images,
    needs="photographs: give a folder with --images",
    needs_images=True,
    columns=(
        Column("share of photographs", "fires"),
        Column("class selectivity", "selectivity"),
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
    front_facts="atlas.kinds.natural.view:front_facts",
    glossary="glossary.html",
)
