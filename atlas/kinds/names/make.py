"""Names of units: the concepts whose photographs they tell from others, beyond chance."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from atlas.cache import Entry
from atlas.kinds.names import NamesRecord, NamesSpec
from atlas.kinds.names.concepts import Concept, concepts_of
from atlas.kinds.names.ranks import ConceptTests, corrected_p, largest_discovery
from atlas.kinds.natural import NaturalRecord
from atlas.pictures.panel import Panel, rounded
from atlas.plan import Job
from atlas.renderer import Renderer
from atlas.units import NetworkFacts

UNITS_AT_ONCE = 1024  # ranks of 10,000 photographs: 0.1 GB


def make(renderer: Renderer, jobs: Sequence[Job]) -> Iterator[list[Panel]]:
    """The names of all jobs' units, in one batch, as false discoveries are counted over all."""
    by_layer = {entry.unit: entry for entry in renderer.entries(jobs[0].sources).values()}
    namers = Namers(renderer.network.facts, jobs[0].spec)
    layers = [_layer_responses(renderer, by_layer[job.layer.name], job, namers) for job in jobs]
    records = names_of(layers, jobs[0].spec)
    yield [Panel(job.layer.whole, record) for job, record in zip(jobs, records, strict=True)]


class Fit(NamedTuple):
    """The concept that fits each unit best: (n_units,) each."""

    concept: Tensor  # positions among the tested concepts
    is_name: Tensor
    auc: Tensor
    p: Tensor  # corrected for the number of concepts


class Namer:
    """Tests units for the concepts of some photographs, and knows what scores chance gives."""

    def __init__(self, classes: Tensor, concepts: Sequence[Concept], spec: NamesSpec) -> None:
        """Shuffle the photographs.

        Args:
            classes: the class of each photograph, (n_images,); -1 if it has none.
            concepts: what may be tested.
            spec: the number of shuffles, and what counts.
        """
        self.tests, self._spec = ConceptTests(classes, concepts), spec
        self._largest = self.tests.largest_by_chance(spec.n_shuffles)
        self._kinds: dict[int, tuple[ConceptTests, Tensor]] = {}

    def p(self, responses: Tensor) -> Tensor:
        """How probable the highest score of each unit is by chance, (n_units,).

        Args:
            responses: (n_images, n_units).
        """
        return corrected_p(self.tests.scores(responses).z.amax(0), self._largest)

    def fit(self, responses: Tensor, limit: float) -> Fit:
        """The concept that fits each unit best, as specific as the photographs allow.

        A name is certain, predicts the unit well, and holds for the photographs that drive the unit
        most. Of such concepts the one with the highest score is taken. Where the photographs of a
        kind of it drive the unit more than its other photographs do, by more than chance, that kind
        takes its place. A unit without a name has the concept with the highest score of all.

        Args:
            responses: (n_images, n_units).
            limit: the largest p of a name.
        """
        scores = self.tests.scores(responses)
        p = corrected_p(scores.z, self._largest)  # (n_concepts, n_units)
        are_names = (p <= limit) & (scores.auc >= self._spec.least_auc)
        are_names &= self.tests.hold(responses, self._spec.n_strongest)
        is_named = are_names.any(0)
        best_name = scores.z.masked_fill(~are_names, -torch.inf).argmax(0)
        concept = torch.where(is_named, best_name, scores.z.argmax(0))
        units = is_named.nonzero()[:, 0]
        while len(units):
            kind = self._better_kinds(concept[units], responses[:, units], are_names[:, units])
            is_better = kind != concept[units]
            units, kind = units[is_better], kind[is_better]
            concept[units] = kind
        found = (each.gather(0, concept[None])[0] for each in (are_names, scores.auc, p))
        return Fit(concept, *found)

    def _better_kinds(self, concept: Tensor, responses: Tensor, are_names: Tensor) -> Tensor:
        """The best of the kinds of each unit's concept; the concept itself if none is better.

        Args:
            concept: positions of the concepts, (n_units,).
            responses: (n_images, n_units).
            are_names: which concepts may be names, (n_concepts, n_units).
        """
        best = concept.clone()
        for each in concept.unique().tolist():
            tests, kinds = self._tests_of_kinds(each)
            if tests.concepts:
                units = (concept == each).nonzero()[:, 0]
                scores = tests.scores(responses[:, units]).z
                scores[~are_names[kinds][:, units]] = -torch.inf
                z, kind = scores.max(0)
                is_better = corrected_p(z, self._largest) <= self._spec.refining_p
                best[units[is_better]] = kinds[kind[is_better]]
        return best

    def _tests_of_kinds(self, concept: int) -> tuple[ConceptTests, Tensor]:
        """Tests for the kinds of a concept among its photographs, and where these concepts are."""
        if concept not in self._kinds:
            tests = self.tests.within(self.tests.concepts[concept])
            positions = [self.tests.concepts.index(kind) for kind in tests.concepts]
            self._kinds[concept] = tests, torch.tensor(positions)
        return self._kinds[concept]


class Namers:
    """The namers for photographs, which layers that were shown the same share."""

    def __init__(self, facts: NetworkFacts, spec: NamesSpec) -> None:
        self._facts, self._spec = facts, spec
        self._known: dict[tuple[tuple[int, ...], tuple[str, ...]], Namer] = {}

    def of(self, classes: Sequence[int], folders: Sequence[str]) -> Namer:
        """The namer for photographs of these classes.

        Args:
            classes: for each photograph its class, a position in `folders`; -1 if it has none.
            folders: names of the classes.
        """
        key = tuple(classes), tuple(folders)
        if key not in self._known:
            concepts = concepts_of(folders, self._facts)
            self._known[key] = Namer(torch.tensor(key[0], dtype=torch.long), concepts, self._spec)
        return self._known[key]


@dataclass(frozen=True)
class LayerResponses:
    """The responses of a layer's units to photographs, which are read when they are needed."""

    namer: Namer
    read: Callable[[], Tensor]  # returns (n_images, n_units)

    def parts(self) -> Iterator[Tensor]:
        """The responses of some units at a time."""
        yield from self.read().split(UNITS_AT_ONCE, dim=1)


def _layer_responses(renderer: Renderer, entry: Entry, job: Job, namers: Namers) -> LayerResponses:
    natural = entry.record(NaturalRecord, job.layer.score_name)

    def read() -> Tensor:
        return torch.from_numpy(np.load(io.BytesIO(renderer.read(entry.key))))

    return LayerResponses(namers.of(natural.sampled_classes, natural.classes), read)


def names_of(layers: Sequence[LayerResponses], spec: NamesSpec) -> list[NamesRecord]:
    """The names of the units of some layers: a record for each layer.

    A unit may have a name if its highest score is a discovery among those of all units.
    """
    tested = [layer for layer in layers if layer.namer.tests.concepts]
    p = [layer.namer.p(part) for layer in tested for part in layer.parts()]
    limit = largest_discovery(torch.cat(p), spec.false_discovery_rate) if p else 0.0
    return [_record(layer, limit, spec) for layer in layers]


def _record(layer: LayerResponses, limit: float, spec: NamesSpec) -> NamesRecord:
    tests = layer.namer.tests
    if not tests.concepts:
        return NamesRecord(tests.n_images, 0)
    fits = [layer.namer.fit(part, limit) for part in layer.parts()]
    fit = Fit(*map(torch.cat, zip(*fits, strict=True)))
    used, positions = fit.concept.unique(return_inverse=True)
    concepts = [tests.concepts[nth] for nth in used.tolist()]
    return NamesRecord(
        tests.n_images,
        len(tests.concepts),
        largest_p=max(0.0, round(limit, 6)),
        least_auc=spec.least_auc,
        concepts=[concept.name for concept in concepts],
        concept_ids=[concept.id for concept in concepts],
        concept_words=[list(concept.synonyms) for concept in concepts],
        concept_images=tests.sizes[used].long().tolist(),
        concept=positions.tolist(),
        is_name=fit.is_name.tolist(),
        auc=rounded(fit.auc),
        p=rounded(fit.p, 6),
    )
