"""Compares two weight sets of one architecture: measure, rank, render pictures, write the pages."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from atlas.addressing import ArtifactSpec, artifact_keys
from atlas.asked import AtlasSpec
from atlas.cache import Artifact, Entry
from atlas.catalogue import CATALOGUE, Catalogue
from atlas.comparing import (
    N_IMAGES,
    AnswersRecord,
    AnswersSpec,
    ExchangeRecord,
    ExchangeSpec,
    FiltersRecord,
    FiltersSpec,
    MatchedAnswersSpec,
    MatchedFiltersSpec,
)
from atlas.comparing.classes import Classes, Pair, classes_of
from atlas.comparing.ranking import LayerChange, are_related, exchanges, layer_change
from atlas.console import say_above
from atlas.damage import names_of, without_damage
from atlas.errors import SpecError
from atlas.files import is_there
from atlas.kinds.excitatory import KIND as EXCITATORY
from atlas.kinds.filter import KIND as FILTER
from atlas.pipeline import Atlas
from atlas.places import Places
from atlas.plan import Plan, jobs_of, remaining
from atlas.progress import Progress, Tally, counted
from atlas.records import to_json
from atlas.selection import select_units
from atlas.units import Layer, NetworkFacts, Unit

if TYPE_CHECKING:  # torch and the site are not always needed
    from atlas.images import ImageSet
    from atlas.pixels import Pixels
    from atlas.site.writer import SiteReport

N_PICTURED = 12  # units of each layer that are shown with pictures, if nothing else is asked
RecordType = TypeVar("RecordType")
SpecOf = Callable[[Layer], ArtifactSpec]  # of a layer's record


@dataclass(frozen=True)
class Ranking:
    """What a comparison has found."""

    layers: tuple[LayerChange, ...]  # in forward order
    classes: Classes
    images: str  # what both networks were shown, in words
    n_pictured: int


class Comparison:
    """Two weight sets of one architecture. Use as a context manager: it keeps the cache open.

    Attributes:
        a, b: the atlases of both; pictures of theirs that are in the cache are used.
        layers: the layers that are compared, in forward order.
        classes: those that are compared.

    Raises:
        SpecError: the weights are the same, or of networks that differ in more than the number of
            classes.
        AtlasError: the weights, labels, photographs or the cache cannot be read.
    """

    def __init__(
        self,
        asked: AtlasSpec,
        weights: tuple[str, str],
        places: Places,
        n_pictured: int = N_PICTURED,
        catalogue: Catalogue = CATALOGUE,
        progress: Progress | None = None,
        labels_b: Path | None = None,
    ) -> None:
        """Open both.

        Args:
            asked: network, recipe, preset, part of the network and labels of A; its weights are
                not used.
            weights: names or files of the weights A and B.
            places: the cache, the folder of the comparison's site, photographs, and the device.
            n_pictured: the units of each layer that are shown with pictures.
            catalogue: kinds and families.
            progress: shows how far the work has got; what suits stderr if left out.
            labels_b: the class names of B.
        """
        self.places, self.n_pictured = places, n_pictured
        specs = (
            with_weights(asked, weights[0]),
            dataclasses.replace(with_weights(asked, weights[1]), labels=labels_b),
        )
        with ExitStack() as opened:
            self.a, self.b = (
                opened.enter_context(Atlas(spec, places, catalogue, progress)) for spec in specs
            )
            refuse_same(self.a.facts, self.b.facts, weights)
            self.classes = classes_of(self.a.facts, self.b.facts)
            shared = shared_layers(self.a.facts, self.b.facts, self.classes)
            units = select_units(asked.selection, self.a.facts)
            self._indices = _chosen(units, shared, self.classes)
            self.layers = tuple(layer for layer in shared if layer.name in self._indices)
            if not self.layers:
                absent = "" if self.classes.pairs else self.classes.words
                raise SpecError(
                    f"nothing to compare: {absent or 'no chosen unit is in both'}; "
                    "choose other layers or units, or leave the choice out"
                )
            self._opened = opened.pop_all()

    def __enter__(self) -> Comparison:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    @property
    def images(self) -> ImageSet:
        """The photographs that were given, or the family's images, or else generated ones."""
        from atlas.generated_images import GeneratedImages

        return self.a.images or GeneratedImages()

    def build(self) -> tuple[Ranking, SiteReport]:
        """Measure and render what is missing, then write the site of the comparison.

        Raises:
            AtlasError: something cannot be measured or rendered, or the site cannot be written.
        """
        from atlas.comparing.pages import prepare, write

        prepare(self.places.out_dir)

        def ranked_and_written() -> tuple[Ranking, SiteReport]:
            ranking = self.ranking()
            return ranking, write(ranking, self.a, self.b, self.places.out_dir)

        return without_damage(self.a.cache, ranked_and_written, self._set_aside)

    def _set_aside(self) -> None:
        """Delete what is damaged in the cache, so that it is made again."""
        damaged = self.a.cache.set_aside()
        say_above(f"Damaged in {self.a.cache.path}, made again: {names_of(damaged)}.")

    def ranking(self) -> Ranking:
        """The ranking of all units, with pictures of the most changed.

        Raises:
            AtlasError: something cannot be measured or rendered.
        """
        self._measure_filters()
        self._measure_answers()
        changes = self._changes()
        self._render(changes)
        return Ranking(
            tuple(self._with_exchange(changes)),
            self.classes,
            self._images_words(changes),
            self.n_pictured,
        )

    # Filters and answers: a record for every layer ---------------------------------------------

    def _measure_filters(self) -> None:
        missing = self._missing(self._filters_spec)
        if not missing:
            return
        from atlas.comparing.filters import filters_records

        begun = time.perf_counter()
        a, b = self.a.load_network(), self.b.load_network()
        records = filters_records(a, b, missing, self._matched)
        self._put(self._filters_spec, missing, records, time.perf_counter() - begun)

    def _measure_answers(self) -> None:
        """Show the images to both networks, for some layers after the other.

        The records of layers that were read together are stored as soon as they are done.
        """
        missing = self._missing(self._answers_spec)
        if not missing:
            return
        from atlas.comparing.answers import answers_records, equal_answers, groups_of, n_compared

        filters = self._records(self._filters_spec, FiltersRecord)
        equal = [layer for layer in missing if filters[layer.name].is_equal]
        sizes = [n_compared(layer, self._matched) for layer in equal]
        self._put(self._answers_spec, equal, [equal_answers(size) for size in sizes], 0.0)
        a, b = self.a.load_network(), self.b.load_network()
        others = [layer for layer in missing if not filters[layer.name].is_equal]
        groups = list(groups_of(others, a.device))
        n_files = min(N_IMAGES, len(self.images.files))
        with counted(self.a.progress, "answers", "images") as show:
            shown = Tally(len(groups) * n_files, show)
            for group in groups:
                begun = time.perf_counter()
                spec = self._answers_spec(group[0])
                records = answers_records(a, b, group, self.images, spec, shown.add, self._matched)
                self._put(self._answers_spec, group, records, time.perf_counter() - begun)

    def _changes(self) -> tuple[LayerChange, ...]:
        filters = self._records(self._filters_spec, FiltersRecord)
        answers = self._records(self._answers_spec, AnswersRecord)
        is_related = are_related(self.layers, [answers[layer.name] for layer in self.layers])
        return tuple(
            layer_change(
                layer,
                self._indices[layer.name],
                filters[layer.name],
                answers[layer.name],
                is_related,
                self._matched,
            )
            for layer in self.layers
        )

    # Pictures of the units that changed most ---------------------------------------------------

    def _render(self, changes: Sequence[LayerChange]) -> None:
        """Render the pictures that are missing, of A's units and of their partners in B."""
        pairs = {change.layer.name: self._pairs(change) for change in changes}
        for atlas, side in ((self.a, 0), (self.b, 1)):
            chosen = {
                layer.name: tuple(
                    atlas.facts.layer(layer.name).unit(index)
                    for index in sorted({pair[side] for pair in pairs[layer.name]})
                )
                for layer in self.layers
                if pairs[layer.name]
            }
            jobs = jobs_of(atlas.asked, atlas.facts, (FILTER, EXCITATORY), chosen, ())
            plan = remaining(Plan(jobs, ()), atlas.cache.keys())
            if plan.missing:
                atlas.fill(plan)

    def _with_exchange(self, changes: Sequence[LayerChange]) -> Iterator[LayerChange]:
        """The same changes, with what the units answer to each other's pictures."""
        with counted(self.a.progress, "exchanged pictures", "layers") as show:
            for n_done, change in enumerate(changes):
                show(n_done, len(changes))
                yield self._with_exchange_of(change) if change.picked(self.n_pictured) else change

    def _with_exchange_of(self, change: LayerChange) -> LayerChange:
        pairs = self._pairs(change)
        found = exchanges(pairs, self._exchange(change.layer, pairs))
        units = tuple(
            dataclasses.replace(unit, exchange=found.get((unit.unit.index, unit.partner)))
            for unit in change.units
        )
        return dataclasses.replace(change, units=units)

    def _exchange(self, layer: Layer, pairs: tuple[Pair, ...]) -> ExchangeRecord:
        spec = ExchangeSpec(self.b.facts.identity, pairs)
        entries = [
            stored_pictures(atlas, layer, [pair[side] for pair in pairs])
            for atlas, side in ((self.a, 0), (self.b, 1))
        ]
        sources = [entry.key for of_one in entries for entry in of_one.values()]
        (key,) = artifact_keys(self.a.facts.identity, (layer.whole,), spec.name, spec, sources)
        if key not in self.a.cache.entries([key]):
            from atlas.comparing.exchange import exchange_record

            begun = time.perf_counter()
            a, b = self.a.load_network(), self.b.load_network()
            pixels = (self._decoded(entries[0]), self._decoded(entries[1]))
            record = exchange_record(a, b, layer, pairs, pixels)
            seconds = time.perf_counter() - begun
            self.a.cache.put([_artifact(key, spec.name, layer, record, seconds)])
        return self.a.cache.entries([key])[key].record(ExchangeRecord, layer.score_name)

    def _decoded(self, entries: dict[int, Entry]) -> dict[int, Pixels]:
        from atlas.comparing.exchange import decoded

        return {index: decoded(self.a.cache.read(entry.key)) for index, entry in entries.items()}

    def _pairs(self, change: LayerChange) -> tuple[Pair, ...]:
        return tuple((unit.unit.index, unit.partner) for unit in change.picked(self.n_pictured))

    # Records in the cache ----------------------------------------------------------------------

    @property
    def _matched(self) -> tuple[Pair, ...]:
        """The classes that records are about; none: all of them, by their numbers."""
        return () if self.classes.are_same else self.classes.pairs

    def _filters_spec(self, layer: Layer) -> FiltersSpec:
        other = self.b.facts.identity
        if not (layer.is_classifier and self._matched):
            return FiltersSpec(other)
        return MatchedFiltersSpec(other, classes=self._matched)

    def _answers_spec(self, layer: Layer) -> AnswersSpec:
        shown = self.b.facts.identity, self.images.sha256, self.a.facts.preprocessing
        if not (layer.is_classifier and self._matched):
            return AnswersSpec(*shown)
        return MatchedAnswersSpec(*shown, classes=self._matched)

    def _keys(self, spec_of: SpecOf) -> dict[str, str]:
        """By layer, the key of its record."""
        return {layer.name: self._key(layer, spec_of(layer)) for layer in self.layers}

    def _key(self, layer: Layer, spec: ArtifactSpec) -> str:
        (key,) = artifact_keys(self.a.facts.identity, (layer.whole,), spec.name, spec)
        return key

    def _missing(self, spec_of: SpecOf) -> list[Layer]:
        keys = self._keys(spec_of)
        there = self.a.cache.entries(keys.values())
        return [layer for layer in self.layers if keys[layer.name] not in there]

    def _records(self, spec_of: SpecOf, record_type: type[RecordType]) -> dict[str, RecordType]:
        """By layer, its record, which must be in the cache."""
        keys = self._keys(spec_of)
        entries = self.a.cache.entries(keys.values())
        return {
            layer.name: entries[keys[layer.name]].record(record_type, layer.score_name)
            for layer in self.layers
        }

    def _put(
        self, spec_of: SpecOf, layers: Sequence[Layer], records: Sequence[Any], seconds: float
    ) -> None:
        keys, each_s = self._keys(spec_of), seconds / max(1, len(layers))
        self.a.cache.put(
            [
                _artifact(keys[layer.name], spec_of(layer).name, layer, record, each_s)
                for layer, record in zip(layers, records, strict=True)
            ]
        )

    def _images_words(self, changes: Sequence[LayerChange]) -> str:
        """What both networks were shown."""
        n_images = max((change.n_images for change in changes), default=0)
        if not n_images:
            return "no images, because nothing that is compared differs"
        if self.places.images_dir:
            return f"{n_images:,} photographs"
        if self.a.images:
            return f"{n_images:,} images that come with the network"
        return (
            f"{n_images:,} generated images without objects, as no photographs were given "
            "with --images"
        )


def with_weights(asked: AtlasSpec, weights: str) -> AtlasSpec:
    """What is asked of one network; `FILE#KEY` is a file, and which of several networks in it."""
    file, mark, key = weights.rpartition("#")
    if mark and is_there(Path(file)) and not is_there(Path(weights)):
        return dataclasses.replace(asked, weights=file, state_key=key)
    return dataclasses.replace(asked, weights=weights)


def refuse_same(a: NetworkFacts, b: NetworkFacts, weights: tuple[str, str]) -> None:
    """Refuse one file as both.

    Raises:
        SpecError: the weights have the same digest.
    """
    if a.sha256 == b.sha256:
        names = " and ".join(dict.fromkeys(each or a.weights for each in weights))
        raise SpecError(
            f"{names}: the same weights twice (sha256 {a.sha256[:12]}); give two weight sets"
        )


def shared_layers(a: NetworkFacts, b: NetworkFacts, classes: Classes) -> tuple[Layer, ...]:
    """The layers of A that both networks have; the classifier if any class is compared.

    Raises:
        SpecError: the networks differ in more than their classes.
    """
    layers_a, layers_b = (
        [layer for layer in facts.layers if classes.pairs or not layer.is_classifier]
        for facts in (a, b)
    )
    for one, other in itertools.zip_longest(layers_a, layers_b):
        if one is None or other is None or _shape(one) != _shape(other):
            named = next(layer.name for layer in (one, other) if layer)
            raise SpecError(
                f"the weights are of networks that differ from {named} on; "
                "give two weight sets of one architecture"
            )
    return tuple(layers_a)


def _shape(layer: Layer) -> tuple[object, ...]:
    n_units = 0 if layer.is_classifier else layer.n_units
    return layer.name, layer.kind, n_units, layer.in_channels, layer.kernel, layer.groups


def _chosen(
    units: Iterable[Unit], layers: Sequence[Layer], classes: Classes
) -> dict[str, tuple[int, ...]]:
    """By layer, the indices of the chosen units that are compared; layers without any left out."""
    of_classes = {number for number, _ in classes.pairs}
    compared = {
        layer.name: of_classes if layer.is_classifier else range(layer.n_units) for layer in layers
    }
    grouped = defaultdict[str, list[int]](list)
    for unit in units:
        if unit.index in compared.get(unit.layer, ()):
            grouped[unit.layer].append(unit.index)
    return {name: tuple(indices) for name, indices in grouped.items()}


def stored_pictures(atlas: Atlas, layer: Layer, indices: Sequence[int]) -> dict[int, Entry]:
    """By unit, the entry of its excitatory picture, as far as there is one."""
    units = tuple(atlas.facts.layer(layer.name).unit(index) for index in dict.fromkeys(indices))
    jobs = jobs_of(atlas.asked, atlas.facts, (EXCITATORY,), {layer.name: units}, ())
    keys = {unit.index: key for job in jobs for unit, key in job.keyed}
    there = atlas.cache.entries(list(keys.values()))
    return {index: there[key] for index, key in keys.items() if key in there}


def _artifact(key: str, kind: str, layer: Layer, record: Any, seconds: float) -> Artifact:
    numbers = to_json(record, layer.score_name)
    return Artifact(key, layer.whole.id, kind, 0, 0, numbers, round(seconds, 4), b"")
