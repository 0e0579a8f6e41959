"""The plan: what is to be made, derived only from what was asked for and what is done.

`status`, `--dry-run`, the progress bar and resuming all read the same plan.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from atlas.addressing import artifact_keys
from atlas.asked import AtlasSpec
from atlas.cache import Entry
from atlas.costs import NO_COST, Cost
from atlas.cutting import Cut
from atlas.errors import SpecError
from atlas.kinds import KINDS, find_kinds
from atlas.kinds.kind import Kind, Source, WholeLayer, WholeNetwork
from atlas.selection import select_units
from atlas.units import SIGMAS_VERSION, Layer, NetworkFacts, Unit

Kinds = Sequence[Kind[Any]]


@dataclass(frozen=True)
class Job:
    """Artifacts of one kind to make for units of one layer, or for the layer itself."""

    layer: Layer
    kind: Kind[Any]
    spec: Any  # of the type that the kind makes
    units: tuple[Unit, ...]
    keys: tuple[str, ...]  # of the artifacts, one per unit
    steps: float = 0.0  # full-size steps of ascent for one unit
    cost: Cost = NO_COST
    sources: tuple[str, ...] = ()  # keys of the artifacts that they are made from
    slot: tuple[str, ...] = ()  # per unit, its key without sources: only the latest is kept
    places: tuple[int, ...] = ()  # of the units in the job as it was asked; empty: it is whole
    cut: Cut | None = None  # into batches, where that was settled elsewhere

    @property
    def keyed(self) -> Iterator[tuple[Unit, str]]:
        """Each unit with the key of its artifact."""
        return zip(self.units, self.keys, strict=True)

    @property
    def positions(self) -> Sequence[int]:
        """Of each unit in the job as it was asked."""
        return self.places or range(len(self.units))

    def part(self, nths: Sequence[int]) -> Job:
        """The job for the units at these places of `units`."""
        return dataclasses.replace(
            self,
            units=tuple(self.units[nth] for nth in nths),
            keys=tuple(self.keys[nth] for nth in nths),
            slot=tuple(self.slot[nth] for nth in nths) if self.slot else (),
            places=tuple(self.positions[nth] for nth in nths),
        )

    def batches(self, cut: Cut) -> list[Job]:
        """A job for each batch of a cut."""
        return [self.part(run) for run in cut.runs(self.positions)]

    @property
    def unit_cost(self) -> float:
        """Multiply-accumulates for one artifact, with its share of what all need once."""
        return self.cost.each + self.cost.once / max(1, len(self.units))


@dataclass(frozen=True)
class Plan:
    """All the jobs of an atlas; each artifact is either done or missing."""

    asked: tuple[Job, ...]
    missing: tuple[Job, ...]

    @property
    def n_asked(self) -> int:
        """Artifacts asked for."""
        return sum(len(job.units) for job in self.asked)

    @property
    def n_missing(self) -> int:
        """Artifacts still to make."""
        return sum(len(job.units) for job in self.missing)

    @property
    def missing_cost(self) -> float:
        """Multiply-accumulates still to spend."""
        return sum(artifact_costs(self.missing).values())


def make_plan(
    asked: AtlasSpec,
    facts: NetworkFacts,
    done: Iterable[str],
    kinds: Kinds = KINDS,
    *,
    has_images: bool = True,
    lost: Sequence[Job] = (),
    failed: Container[str] = (),
) -> Plan:
    """The jobs for everything that was asked for, and those of them that are not done.

    Jobs are in order of kinds, then in forward order of layers, so that the excitatory pictures of
    the whole network are finished long before the last inhibitory one.

    Args:
        asked: what was asked.
        facts: facts of the network.
        done: keys of the artifacts that exist.
        kinds: all known kinds.
        has_images: whether the photographs can be read, rather than only earlier results of them.
        lost: jobs for artifacts that were there and are to be made again, asked for or not.
        failed: keys of artifacts that cannot be made.

    Raises:
        SpecError: the selection or the kinds name something unknown, or a kind was asked for that
            none of the chosen layers can have.
    """
    done = set(done)
    chosen = {
        name: tuple(units)
        for name, units in groupby(select_units(asked.selection, facts), lambda unit: unit.layer)
    }
    named = find_kinds(asked.kinds, kinds)
    wanted = with_sources(named, asked, kinds)
    _refuse_impossible(asked, facts, (*named, *wanted), chosen)
    existing = done.union(*(job.keys for job in lost))
    jobs = jobs_of(asked, facts, wanted, chosen, existing, has_images=has_images, failed=failed)
    return remaining(Plan(_with_lost(jobs, lost, kinds), ()), done)


def remaining(plan: Plan, done: Container[str]) -> Plan:
    """What is missing of a plan when some of it is done."""
    missing = (_missing_part(job, done) for job in plan.asked)
    return Plan(plan.asked, tuple(job for job in missing if job.units))


def jobs_for(jobs: Iterable[Job], keys: Container[str]) -> tuple[Job, ...]:
    """The parts of jobs that make certain artifacts."""
    parts = (_done_part(job, keys) for job in jobs)
    return tuple(job for job in parts if job.units)


def _with_lost(jobs: tuple[Job, ...], lost: Sequence[Job], kinds: Kinds) -> tuple[Job, ...]:
    """Jobs and those of lost artifacts beside them, in the order of making."""
    asked = {key for job in jobs for key in job.keys}
    others = tuple(job for job in (_missing_part(job, asked) for job in lost) if job.units)
    if not others:
        return jobs
    order = {kind.name: position for position, kind in enumerate(kinds)}
    return tuple(sorted(jobs + others, key=lambda job: (order[job.kind.name], job.layer.index)))


def with_sources(wanted: Kinds, asked: AtlasSpec, kinds: Kinds = KINDS) -> tuple[Kind[Any], ...]:
    """The wanted kinds and all that they are made from, in the order of making."""
    by_name = {kind.name: kind for kind in kinds}
    names: set[str] = set()
    waiting = [kind.name for kind in wanted]
    while waiting:
        name = waiting.pop()
        if name not in names:
            names.add(name)
            waiting += [source.kind for source in by_name[name].sources_of(asked)]
    return tuple(kind for kind in kinds if kind.name in names)


def jobs_of(
    asked: AtlasSpec,
    facts: NetworkFacts,
    kinds: Kinds,
    chosen: Mapping[str, tuple[Unit, ...]],
    existing: Iterable[str],
    *,
    are_made: bool = True,
    has_images: bool = True,
    failed: Container[str] = (),
) -> tuple[Job, ...]:
    """Every job for the chosen units, in order of kinds, then in forward order.

    Args:
        asked: what was asked.
        facts: facts of the network.
        kinds: the kinds to make, in the order of making, with all that they are made from.
        chosen: units by the name of their layer.
        existing: keys of the artifacts that exist. What is made from other artifacts is made from
            these and from the artifacts of earlier jobs.
        are_made: whether these jobs will be carried out. If not, the chosen units are all that
            artifacts exist of, and no others are looked for.
        has_images: whether the photographs can be read; without them, the jobs of kinds that read
            them include only artifacts that exist.
        failed: keys of artifacts that cannot be made, which no job is for.
    """
    everything = {layer.name: layer.units for layer in facts.layers}
    by_name = {kind.name: kind for kind in kinds}
    planner = _Planner(asked, facts, by_name, set(existing), everything if are_made else chosen)
    jobs: list[Job] = []
    for kind in kinds:
        kind_jobs = tuple(planner.jobs(kind, chosen))
        if failed:
            left = (_missing_part(job, failed) for job in kind_jobs)
            kind_jobs = tuple(job for job in left if job.units)
        if kind.needs_images and not has_images:
            done_jobs = (_done_part(job, planner.existing) for job in kind_jobs)
            kind_jobs = tuple(job for job in done_jobs if job.units)
        jobs += kind_jobs
        if are_made:
            planner.existing.update(key for job in kind_jobs for key in job.keys)
    return tuple(jobs)


class _Planner:
    """Plans the jobs of kinds; `existing` grows with the artifacts of planned jobs.

    `units` are those that artifacts may exist of, by the name of their layer.
    """

    def __init__(
        self,
        asked: AtlasSpec,
        facts: NetworkFacts,
        kinds: Mapping[str, Kind[Any]],
        existing: set[str],
        units: Mapping[str, tuple[Unit, ...]],
    ) -> None:
        self.existing = existing
        self._units = units
        self._asked, self._facts, self._kinds = asked, facts, kinds
        self._available: dict[tuple[str, str], tuple[str, ...]] = {}
        self._recipe_keys: dict[tuple[str, str], str] = {}

    def jobs(self, kind: Kind[Any], chosen: Mapping[str, tuple[Unit, ...]]) -> Iterator[Job]:
        """The jobs of one kind: in the chosen layers, or in all that a network source has.

        A layer that lacks one of the kind's sources has no job, unless it stands for the network.
        """
        from_network = any(source.of == "network" for source in kind.sources_of(self._asked))
        for layer in self._facts.layers:
            units = layer.units if from_network else chosen.get(layer.name, ())
            if units and (job := self._job(kind, layer, units)):
                yield job

    def _job(self, kind: Kind[Any], layer: Layer, chosen: Sequence[Unit]) -> Job | None:
        """The job of a kind in a layer; None if it makes nothing there."""
        units = kind.scope.units(layer, chosen)
        if not units or not kind.is_possible(self._asked, layer, self._facts):
            return None
        sources = kind.sources_of(self._asked)
        if not all(self._is_there(source, kind, layer) for source in sources):
            return None
        spec = kind.spec(self._asked, layer, self._facts)
        keys = tuple(key for source in sources for key in self._source_keys(source, layer))
        return Job(
            layer,
            kind,
            spec,
            units,
            artifact_keys(self._facts.identity, units, kind.name, spec, (*keys, *_scale_of(layer))),
            kind.steps_of(spec, self._facts),
            kind.cost_of(spec, layer, self._facts, self._asked.n_images).of_sources(len(keys)),
            keys,
            self._slots(kind, layer, units) if any(map(self._can_grow, sources)) else (),
        )

    def _is_there(self, source: Source, kind: Kind[Any], layer: Layer) -> bool:
        """Whether a layer has any of a source; for an artifact of the network, any layer has."""
        if isinstance(kind.scope, WholeNetwork):
            return next(self._source_keys(source, layer), None) is not None
        return bool(self._available_in(self._kinds[source.kind], layer))

    def _source_keys(self, source: Source, layer: Layer) -> Iterator[str]:
        """Keys of the artifacts that a layer's artifact is made from, as far as they exist."""
        kind = self._kinds[source.kind]
        for each in self._facts.layers if source.of == "network" else (layer,):
            yield from self._available_in(kind, each)

    def _available_in(self, kind: Kind[Any], layer: Layer) -> tuple[str, ...]:
        """Keys of the artifacts of one kind that exist in a layer; asked for after its jobs."""
        known = self._available.get((kind.name, layer.name))
        if known is None:
            units = self._units.get(layer.name)
            job = self._job(kind, layer, units) if units else None
            keys = job.keys if job else ()
            known = tuple(key for key in keys if key in self.existing)
            self._available[kind.name, layer.name] = known
        return known

    def _can_grow(self, source: Source) -> bool:
        """Whether more artifacts of a source can come to be later."""
        return source.of == "network" or not isinstance(self._kinds[source.kind].scope, WholeLayer)

    def _slots(self, kind: Kind[Any], layer: Layer, units: Sequence[Unit]) -> tuple[str, ...]:
        """Addresses that depend on the recipes of all sources, but not on how many there are."""
        spec = kind.spec(self._asked, layer, self._facts)
        recipes = tuple(self._recipes_of_sources(kind, layer))
        recipes += _scale_of(layer)
        return artifact_keys(self._facts.identity, units, kind.name, spec, recipes)

    def _recipes_of_sources(self, kind: Kind[Any], layer: Layer) -> Iterator[str]:
        for source in kind.sources_of(self._asked):
            for each in self._facts.layers if source.of == "network" else (layer,):
                yield self._recipe_key(self._kinds[source.kind], each)

    def _recipe_key(self, kind: Kind[Any], layer: Layer) -> str:
        """An address for the recipe of one kind in a layer, sources included."""
        if (kind.name, layer.name) not in self._recipe_keys:
            spec = kind.spec(self._asked, layer, self._facts)
            recipes = tuple(self._recipes_of_sources(kind, layer))
            (key,) = artifact_keys(self._facts.identity, (layer.whole,), kind.name, spec, recipes)
            self._recipe_keys[kind.name, layer.name] = key
        return self._recipe_keys[kind.name, layer.name]


def _scale_of(layer: Layer) -> tuple[str, ...]:
    """What the address of an artifact says of its layer's sigmas; nothing if a BatchNorm's."""
    is_measured = layer.sigma == "measured" and not layer.is_classifier
    return (f"measured sigmas {SIGMAS_VERSION}",) if is_measured else ()


def _refuse_impossible(
    asked: AtlasSpec, facts: NetworkFacts, wanted: Kinds, chosen: Container[str]
) -> None:
    """Raise SpecError for a named kind, or one of its sources, that no chosen layer can have."""
    if not asked.kinds:
        return
    layers = [layer for layer in facts.layers if layer.name in chosen]
    for kind in wanted:
        if layers and not any(kind.is_possible(asked, layer, facts) for layer in layers):
            raise SpecError(f"nothing of kind {kind.name!r} can be made: it needs {kind.needs}")


@dataclass(frozen=True)
class StageTime:
    """How long the synthesised pictures of one stage of the network took."""

    stage: str
    n_pictures: int
    seconds: float
    flop: float  # counted as if all of every map were computed

    @property
    def flop_per_s(self) -> float:
        """Speed of the network's own work, without drawing and jittering pictures."""
        return self.flop / self.seconds if self.seconds else 0.0


def stage_times(jobs: Iterable[Job], seconds: Mapping[str, float]) -> tuple[StageTime, ...]:
    """The times of synthesised pictures by stage of the network.

    Args:
        jobs: jobs that were carried out.
        seconds: time for each artifact that was made, by key.
    """
    parts_of: dict[str, list[StageTime]] = {}
    for job in sorted(jobs, key=lambda job: job.layer.index):
        times = [seconds[key] for key in job.keys if key in seconds]
        if job.steps and times:
            flop = 4 * job.layer.macs * job.steps  # forward and backward
            part = StageTime(job.layer.stage, len(times), sum(times), flop * len(times))
            parts_of.setdefault(job.layer.stage, []).append(part)
    return tuple(_sum_of(parts) for parts in parts_of.values())


def _sum_of(parts: Sequence[StageTime]) -> StageTime:
    return StageTime(
        parts[0].stage,
        sum(part.n_pictures for part in parts),
        sum(part.seconds for part in parts),
        sum(part.flop for part in parts),
    )


def measured_speed(jobs: Iterable[Job], entries: Mapping[str, Entry]) -> float | None:
    """Multiply-accumulates per second over all artifacts made so far, None if there are none."""
    costs = artifact_costs(jobs)
    timed = [key for key, cost in costs.items() if cost and key in entries]
    seconds = sum(entries[key].seconds for key in timed)
    return sum(costs[key] for key in timed) / seconds if seconds else None


def artifact_costs(jobs: Iterable[Job]) -> dict[str, float]:
    """Multiply-accumulates for each artifact, by key; those of one pass share it evenly."""
    costs: dict[str, float] = {}
    for kind, of_kind in groupby(jobs, lambda job: job.kind):
        same_kind = list(of_kind)
        n_artifacts = max(1, sum(len(job.keys) for job in same_kind))
        of_pass = max(job.cost.once for job in same_kind) / n_artifacts
        for job in same_kind:
            cost = of_pass + job.cost.each if kind.is_one_pass else job.unit_cost
            costs.update(dict.fromkeys(job.keys, cost))
    return costs


def _missing_part(job: Job, done: Container[str]) -> Job:
    """The part of a job that is not done."""
    return job.part([nth for nth, key in enumerate(job.keys) if key not in done])


def _done_part(job: Job, done: Container[str]) -> Job:
    """The part of a job that is done."""
    return job.part([nth for nth, key in enumerate(job.keys) if key in done])
