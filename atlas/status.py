"""How much of an atlas is done, layer by layer, and how long the rest will take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from atlas.cluster.board import Doing
from atlas.plan import Job, Plan
from atlas.units import NetworkFacts


@dataclass(frozen=True)
class LayerStatus:
    """How many artifacts of one layer are done."""

    layer: str
    n_units: int
    n_asked: int  # artifacts
    n_done: int


@dataclass(frozen=True)
class Status:
    """How many artifacts of an atlas are done."""

    facts: NetworkFacts
    layers: tuple[LayerStatus, ...]
    n_asked: int  # artifacts
    n_done: int
    cache_bytes: int
    seconds_left: float | None  # None until something was measured
    missing_macs: float = 0.0  # the work that is missing
    workers: tuple[Doing, ...] = ()  # that make artifacts for this cache now


def status_of(
    plan: Plan,
    facts: NetworkFacts,
    cache_bytes: int,
    speed: float | None,
    workers: tuple[Doing, ...],
) -> Status:
    """How many artifacts of a plan are done.

    Args:
        plan: what was asked for, and what of it is missing.
        facts: of the network.
        cache_bytes: what the cache takes on the disk.
        speed: of one worker, in multiply-accumulates per second; None if it is not known.
        workers: that are at work on it now.
    """
    n_asked, n_missing = (_n_by_layer(jobs) for jobs in (plan.asked, plan.missing))
    n_at_work = max(1, len(workers))
    return Status(
        facts=facts,
        layers=tuple(
            LayerStatus(
                layer.name,
                layer.n_units,
                n_asked[layer.name],
                n_asked[layer.name] - n_missing[layer.name],
            )
            for layer in facts.layers
            if n_asked[layer.name]
        ),
        n_asked=plan.n_asked,
        n_done=plan.n_asked - plan.n_missing,
        cache_bytes=cache_bytes,
        seconds_left=plan.missing_cost / (speed * n_at_work) if speed else None,
        missing_macs=plan.missing_cost,
        workers=workers,
    )


def _n_by_layer(jobs: Sequence[Job]) -> Counter[str]:
    """The number of artifacts of jobs, by the name of their layer."""
    counts: Counter[str] = Counter()
    for job in jobs:
        counts[job.layer.name] += len(job.units)
    return counts
