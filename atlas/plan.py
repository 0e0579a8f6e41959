"""What is there to do: a pure function of what was asked and what is done.

`status`, `--dry-run`, the progress bar and resuming all read the same plan.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from atlas.cache import Entry
from atlas.spec import (
    KINDS,
    ArtifactSpec,
    AtlasSpec,
    Examples,
    Fourier,
    Progressive,
    Similar,
    Twin,
    artifact_keys,
    select_units,
    units_of,
)
from atlas.units import Kind, Layer, NetworkFacts, Unit

# Drawing, jittering and measuring a picture costs about this much more than the network itself.
OVERHEAD_MACS = 150_000_000


@dataclass(frozen=True)
class Job:
    """Artifacts of one kind to make for units of one layer, or for the layer itself."""

    layer: Layer
    kind: Kind
    spec: ArtifactSpec
    units: tuple[Unit, ...]
    keys: tuple[str, ...]  # of the artifacts, one per unit
    unit_cost: float  # multiply-accumulates for one unit
    sources: tuple[str, ...] = ()  # keys of the artifacts that they are made from

    @property
    def keyed(self) -> Iterator[tuple[Unit, str]]:
        """Each unit with the key of its artifact."""
        return zip(self.units, self.keys, strict=True)


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
        return sum(job.unit_cost * len(job.units) for job in self.missing)


def make_plan(spec: AtlasSpec, facts: NetworkFacts, done: Iterable[str]) -> Plan:
    """Jobs for everything the spec asks of the network, less what is done.

    Kind after kind, each in forward order of the layers: people look at excitatory pictures of
    the whole network long before the last inhibitory one is there.

    Args:
        spec: what was asked.
        facts: of the network.
        done: keys of the artifacts that exist.

    Raises:
        SpecError: the selection names something that is not there.
    """
    done = set(done)
    by_layer = {
        name: tuple(units)
        for name, units in groupby(select_units(spec.selection, facts), lambda unit: unit.layer)
    }
    asked = jobs_of(spec, facts, by_layer)
    if "similar" in spec.kinds:
        asked += similar_jobs(spec, facts, done.union(*(job.keys for job in asked)))
    missing = [_without(job, done) for job in asked]
    return Plan(asked, tuple(job for job in missing if job.units))


def jobs_of(
    spec: AtlasSpec, facts: NetworkFacts, chosen: Mapping[str, tuple[Unit, ...]]
) -> tuple[Job, ...]:
    """Every job for the chosen units, by layer, in the order of making."""
    jobs = [
        make_job(spec, facts, layer, kind, units)
        for layer in facts.layers
        if layer.name in chosen
        for kind in spec.kinds_of(layer, facts)
        if (units := units_of(kind, layer, chosen[layer.name]))
    ]
    order = list(KINDS)
    return tuple(sorted(jobs, key=lambda job: (order.index(job.kind), job.layer.index)))


def make_job(
    spec: AtlasSpec,
    facts: NetworkFacts,
    layer: Layer,
    kind: Kind,
    units: tuple[Unit, ...],
) -> Job:
    """The job that makes one kind of artifact for these units of one layer."""
    artifact_spec = spec.artifact_spec(kind, layer, facts)
    keys = artifact_keys(facts.sha256, units, kind, artifact_spec)
    sources: tuple[str, ...] = ()
    if isinstance(artifact_spec, Examples):
        sources = artifact_keys(facts.sha256, (layer.whole,), "natural", artifact_spec.natural)
    cost = unit_cost(layer, artifact_spec, facts)
    return Job(layer, kind, artifact_spec, units, keys, cost, sources)


def similar_jobs(spec: AtlasSpec, facts: NetworkFacts, there: Container[str]) -> tuple[Job, ...]:
    """The jobs that compare all units of the network with each other.

    Their keys say what is compared, so they are stale as soon as more is there.

    Args:
        spec: what was asked. With photographs, units are compared by their answers to them, else
            by their excitatory pictures.
        facts: of the network.
        there: keys of the artifacts that will be there when the units are compared.
    """
    kind: Kind = "natural" if spec.images else "excitatory"
    jobs = [
        make_job(spec, facts, layer, kind, units_of(kind, layer, layer.units))
        for layer in facts.layers
    ]
    sources = {job.layer: [key for key in job.keys if key in there] for job in jobs}
    keys = tuple(key for layer in facts.layers for key in sources[layer])
    basis: Literal["photographs", "pictures"] = "photographs" if spec.images else "pictures"
    similar = Similar(basis, hashlib.sha256("".join(keys).encode()).hexdigest())
    return tuple(
        Job(
            layer,
            "similar",
            similar,
            (layer.whole,),
            artifact_keys(facts.sha256, (layer.whole,), "similar", similar),
            0.0,
            keys,
        )
        for layer in facts.layers
        if sources[layer]
    )


def unit_cost(layer: Layer, spec: ArtifactSpec, facts: NetworkFacts) -> float:
    """Multiply-accumulates to render one unit: forward and backward through all its steps.

    Single passes forward count as nothing.
    """
    return 2 * (layer.macs + OVERHEAD_MACS) * full_size_steps(spec, facts)


def full_size_steps(spec: ArtifactSpec, facts: NetworkFacts) -> float:
    """The steps of an ascent, each counted by its pixels over those of the network's own input."""
    if isinstance(spec, Twin):  # the unit twice, and its neighbour
        return 3 * full_size_steps(spec.first, facts)
    if isinstance(spec, Progressive):
        images = [(size_px, spec.steps) for size_px in spec.sizes_px[:-1]]
    elif isinstance(spec, Fourier):
        images = [(stage.seen_px, stage.steps) for stage in spec.stages]
    else:
        return 0.0
    return sum(steps * (px / facts.input_size_px) ** 2 for px, steps in images)


@dataclass(frozen=True)
class StageTime:
    """How long the synthesised pictures of one stage of the network took."""

    stage: str
    n_pictures: int
    seconds: float
    flop: float  # counted as if all of every map were computed

    @property
    def flop_per_s(self) -> float:
        """The network's own work; drawing and jittering pictures comes on top of it."""
        return self.flop / self.seconds if self.seconds else 0.0


def stage_times(
    jobs: Iterable[Job], seconds: Mapping[str, float], facts: NetworkFacts
) -> tuple[StageTime, ...]:
    """What was synthesised, stage after stage.

    Args:
        jobs: that were worked on.
        seconds: of each artifact that was made, by key.
        facts: of the network.
    """
    found: dict[str, list[StageTime]] = {}
    for job in sorted(jobs, key=lambda job: job.layer.index):
        times = [seconds[key] for key in job.keys if key in seconds]
        if job.unit_cost and times:
            flop = 4 * job.layer.macs * full_size_steps(job.spec, facts)  # there and back
            part = StageTime(job.layer.stage, len(times), sum(times), flop * len(times))
            found.setdefault(job.layer.stage, []).append(part)
    return tuple(_sum_of(parts) for parts in found.values())


def _sum_of(parts: Sequence[StageTime]) -> StageTime:
    return StageTime(
        parts[0].stage,
        sum(part.n_pictures for part in parts),
        sum(part.seconds for part in parts),
        sum(part.flop for part in parts),
    )


def measured_speed(jobs: Iterable[Job], entries: Mapping[str, Entry]) -> float | None:
    """Multiply-accumulates per second over what was rendered, None before anything was."""
    cost = seconds = 0.0
    for job in jobs:
        if job.unit_cost:
            timed = [entries[key].seconds for key in job.keys if key in entries]
            cost += job.unit_cost * len(timed)
            seconds += sum(timed)
    return cost / seconds if seconds else None


def _without(job: Job, done: set[str]) -> Job:
    left = [(unit, key) for unit, key in job.keyed if key not in done]
    units = tuple(unit for unit, _ in left)
    keys = tuple(key for _, key in left)
    return dataclasses.replace(job, units=units, keys=keys)
