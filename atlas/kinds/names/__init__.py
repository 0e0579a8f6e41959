"""What units answer to, by the classes of photographs and what WordNet says these are."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

from atlas.asked import AtlasSpec
from atlas.canonical import canonical_json
from atlas.costs import Cost
from atlas.kinds.kind import Column, Kind, Section, Source, TextColumn, WholeLayer
from atlas.kinds.natural import has_images
from atlas.records import axis, per_unit, value
from atlas.units import Layer, NetworkFacts
from atlas.wordnet.lemmas import package_version

RANKING_MACS = 1e10  # as long as 55 ms of an ascent


@dataclass(frozen=True)
class NamesSpec:
    """Tests of every unit for every class of the photographs and every group of classes."""

    name: ClassVar[str] = "names"
    version: ClassVar[int] = 1

    labels_sha256: str  # of the network's labels and their WordNet ids
    wordnet_package: str  # version of the optional package; empty: only the table that ships
    n_shuffles: int = 20_000  # of the photographs, for the scores that chance gives
    false_discovery_rate: float = 0.01  # over all units
    least_auc: float = 0.7  # of a name, however certain it is
    refining_p: float = 0.01  # largest p for a more specific name
    n_strongest: int = 5  # photographs that drive a unit most; its name holds for most of them


class ConceptFit(NamedTuple):
    """How well a concept fits a unit."""

    concept: str
    words: tuple[str, ...]  # others for it
    n_images: int  # photographs of it
    is_name: bool  # rather than what comes closest to one
    auc: float
    p: float


@dataclass(frozen=True)
class NamesRecord:
    """The concept that fits each unit of a layer best; lists are left out if none was tested."""

    n_images: int = value("number of photographs with a class that units were tested with")
    n_concepts: int = value("number of concepts that each unit was tested for")
    largest_p: float = value("largest p that a name may have", default=0.0)
    least_auc: float = value("smallest AUC that a name may have", default=0.0)
    concepts: Sequence[str] = axis(
        "classes of the photographs, and what WordNet says several of them are", default=()
    )
    concept_ids: Sequence[str] = axis(
        "WordNet id of each concept, empty where none is known", default=()
    )
    concept_words: Sequence[Sequence[str]] = axis("other words for each concept", default=())
    concept_images: Sequence[int] = axis("number of photographs of each concept", default=())
    concept: Sequence[int] | None = per_unit(
        "the unit's name, or the concept that comes closest to one: a position in `concepts`",
        default=None,
    )
    is_name: Sequence[bool] | None = per_unit("whether the concept is a name", default=None)
    auc: Sequence[float] | None = per_unit(
        "probability that a photograph of the concept drives the unit harder than another does",
        default=None,
    )
    p: Sequence[float] | None = per_unit(
        "probability that chance gives any concept as high a score", default=None
    )

    def fit(self, index: int) -> ConceptFit | None:
        """The concept that fits a unit best, None if none was tested."""
        if not (self.concept and self.is_name and self.auc and self.p):
            return None
        nth = self.concept[index]
        return ConceptFit(
            self.concepts[nth],
            tuple(self.concept_words[nth]),
            self.concept_images[nth],
            self.is_name[index],
            self.auc[index],
            self.p[index],
        )


def spec(asked: AtlasSpec, layer: Layer, facts: NetworkFacts) -> NamesSpec:
    """The spec, which is the same for all layers."""
    labels = canonical_json([facts.labels, facts.label_ids])
    return NamesSpec(hashlib.sha256(labels.encode()).hexdigest(), package_version())


def sources(asked: AtlasSpec) -> tuple[Source, ...]:
    """The responses of all units to the photographs."""
    return (Source("natural", of="network"),)


def cost(spec: NamesSpec, layer: Layer, facts: NetworkFacts, n_photographs: int) -> Cost:
    """The work for ranking the responses of a layer's units."""
    return Cost(each=RANKING_MACS)


KIND = Kind(
    name="names",
    about="which classes, and kinds of classes, of photographs each unit tells from others",
    scope=WholeLayer(),
    spec=spec,
    record=NamesRecord,
    make="atlas.kinds.names.make:make",
    cost=cost,
    is_made_on_host=True,
    folder=Path(__file__).parent,
    order=57,
    possible=has_images,
    needs="photographs: give a folder with --images",
    sources=sources,
    columns=(
        Column(
            "AUC of the best concept",
            "auc",
            words="how well it tells that concept: 0.5 by chance, 1 always",
            about="auc",
        ),
    ),
    text_columns=(
        TextColumn(
            "name",
            "atlas.kinds.names.view:names_in",
            words="what it was found to tell from the rest, or its class",
            about="names",
            is_title=True,
        ),
    ),
    unit_sections=(Section("lead", "section.html", "atlas.kinds.names.view:section_view"),),
    glossary="glossary.html",
)
