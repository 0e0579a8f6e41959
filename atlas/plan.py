"""What is there to do: a pure function of what was asked and what is done.

`status`, `--dry-run`, the progress bar and resuming all read the same plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby

from atlas.cache import Entry
from atlas.spec import (
    PICTURE_KINDS,
    AtlasSpec,
    FilterImage,
    PictureSpec,
    Progressive,
    artifact_key,
    select_units,
)
from atlas.units import Layer, NetworkFacts, PictureKind, Unit

# Drawing, jittering and measuring a picture costs about this much more than the network itself.
OVERHEAD_MACS = 150_000_000


@dataclass(frozen=True)
class Job:
    """Pictures of one kind to render for units of one layer."""

    layer: Layer
    kind: PictureKind
    spec: PictureSpec
    units: tuple[Unit, ...]
    keys: tuple[str, ...]  # of the artifacts, one per unit
    unit_cost: float  # multiply-accumulates for one unit


@dataclass(frozen=True)
class Plan:
    """All the jobs of an atlas; each artifact is either done or missing."""

    asked: tuple[Job, ...]
    missing: tuple[Job, ...]

    @property
    def n_asked(self) -> int:
        """Pictures asked for."""
        return sum(len(job.units) for job in self.asked)

    @property
    def n_missing(self) -> int:
        """Pictures still to render."""
        return sum(len(job.units) for job in self.missing)

    @property
    def missing_cost(self) -> float:
        """Multiply-accumulates still to spend."""
        return sum(job.unit_cost * len(job.units) for job in self.missing)


def make_plan(spec: AtlasSpec, facts: NetworkFacts, done: Iterable[str]) -> Plan:
    """Jobs for everything the spec asks of the network, less what is done.

    Weights' own pictures come first, they cost next to nothing; then layers in forward order.

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
    asked = [
        make_job(spec, facts, layer, kind, by_layer[layer.name])
        for layer in facts.layers
        if layer.name in by_layer
        for kind in PICTURE_KINDS
    ]
    asked.sort(key=lambda job: (job.kind != "filter", job.layer.index))
    missing = [_without(job, done) for job in asked]
    return Plan(tuple(asked), tuple(job for job in missing if job.units))


def make_job(
    spec: AtlasSpec,
    facts: NetworkFacts,
    layer: Layer,
    kind: PictureKind,
    units: tuple[Unit, ...],
) -> Job:
    """The job that renders one kind of picture for these units of one layer."""
    picture_spec = spec.picture_spec(kind, layer, facts)
    keys = tuple(artifact_key(facts.sha256, unit, kind, picture_spec) for unit in units)
    return Job(layer, kind, picture_spec, units, keys, unit_cost(layer, picture_spec, facts))


def unit_cost(layer: Layer, spec: PictureSpec, facts: NetworkFacts) -> float:
    """Multiply-accumulates to render one unit: forward and backward through all its steps."""
    if isinstance(spec, FilterImage):
        return 0.0
    if isinstance(spec, Progressive):
        canvases = [(size_px, spec.steps) for size_px in spec.sizes_px[:-1]]
    else:
        canvases = [(stage.size_px, stage.steps) for stage in spec.stages]
    full_size_steps = sum(steps * (px / facts.input_size_px) ** 2 for px, steps in canvases)
    return 2 * (layer.macs + OVERHEAD_MACS) * full_size_steps


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
    left = [(unit, key) for unit, key in zip(job.units, job.keys, strict=True) if key not in done]
    units = tuple(unit for unit, _ in left)
    keys = tuple(key for _, key in left)
    return Job(job.layer, job.kind, job.spec, units, keys, job.unit_cost)
