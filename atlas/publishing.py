"""From a cache to a site: what of the cache the site shows, and the writing of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from atlas.addressing import describe
from atlas.asked import AtlasSpec
from atlas.cache import Cache, Entry
from atlas.cluster.scheduling import Failure
from atlas.heap import no_garbage_collection
from atlas.kinds.excitatory import KIND as EXCITATORY
from atlas.kinds.kind import Kind
from atlas.on_demand import ON_DEMAND
from atlas.places import Places
from atlas.plan import Job, jobs_of
from atlas.progress import SILENT, Progress, counted
from atlas.units import NetworkFacts, Unit

if TYPE_CHECKING:  # the site is not always needed
    from atlas.site.contents import Contents
    from atlas.site.writer import SiteReport


@dataclass(frozen=True)
class SiteSource:
    """All that a site is made from except the cache, as data that can be sent to a process."""

    asked: AtlasSpec
    places: Places
    facts: NetworkFacts
    kinds: tuple[Kind[Any], ...]
    family_glossary: str
    given_names: Mapping[str, str]
    failures: tuple[Failure, ...] = ()


def contents_of(source: SiteSource, cache: Cache) -> Contents:
    """What the site shows: this selection, and everything that was made before."""
    from atlas.site.contents import Contents, SpecSummary

    asked, facts = source.asked, source.facts
    jobs = _all_jobs(source, cache)
    recipes = {
        job.layer.name: describe(job.spec) for job in jobs if job.kind.name == EXCITATORY.name
    }
    on_demand = tuple(
        entry
        for kind in ON_DEMAND
        for entry in cache.of_kind(kind.name)
        if kind.record_of(entry).weights == facts.identity
    )
    return Contents(
        facts,
        SpecSummary(asked.recipe, asked.preset, asked.seed, recipes),
        _entries_shown(jobs, source, cache),
        cache.read,
        on_demand,
        source.kinds,
        source.family_glossary,
        failures=_failures_of(source.failures),
        given_names=source.given_names,
    )


def _entries_shown(
    jobs: Sequence[Job], source: SiteSource, cache: Cache
) -> dict[str, dict[str, Entry]]:
    """The entries of the artifacts that the site shows, by unit id and kind."""
    entries: dict[str, dict[str, Entry]] = {}
    there = cache.entries(key for job in jobs for key in job.keys)
    hidden = _hidden({entry.kind for entry in there.values()}, source)
    for job in (job for job in jobs if job.kind.name not in hidden):
        for unit, key in job.keyed:
            entry = there.get(key)
            # Seals prevent damage; rows of a forged cache may be of another unit than their key.
            if entry and (entry.unit, entry.kind) == (unit.id, job.kind.name):
                entries.setdefault(entry.unit, {})[entry.kind] = entry
    return entries


def _failures_of(failures: Sequence[Failure]) -> dict[str, tuple[str, ...]]:
    """What could not be made, by unit id, in words."""
    words: dict[str, tuple[str, ...]] = {}
    for failure in failures:
        unit_id = failure.unit.id
        words[unit_id] = (*words.get(unit_id, ()), f"Not made: {failure}")
    return words


def _all_jobs(source: SiteSource, cache: Cache) -> tuple[Job, ...]:
    """The jobs for all units that anything was made of, asked for now or not.

    Kinds that are made only where somebody names them are shown if they were made.
    """
    facts, there = source.facts, cache.units()
    made_in = {layer.name for each in there if (layer := facts.layer_of(each))}
    units: dict[str, tuple[Unit, ...]] = {}
    for layer in facts.layers:
        made = (unit for unit in layer.units if unit.id in there) if layer.name in made_in else ()
        # One unit at least, for artifacts of the whole layer and for its recipe.
        units[layer.name] = tuple(made) or layer.units[:1]
    named = dataclasses.replace(source.asked, kinds=tuple(kind.name for kind in source.kinds))
    return jobs_of(named, facts, source.kinds, units, cache.keys(), are_made=False)


def _hidden(made: Container[str], source: SiteSource) -> set[str]:
    """Kinds that the site does not show: those left out, and those in whose place it has others."""
    hidden = {*source.places.left_out}
    shown = [kind for kind in source.kinds if kind.name in made and kind.name not in hidden]
    return hidden | {kind.replaces for kind in shown if kind.replaces}


def write_site_of(source: SiteSource, cache: Cache, progress: Progress) -> SiteReport:
    """Write the site, and the landing page of the site that it is a part of."""
    from atlas.site.landing import write_landing
    from atlas.site.writer import write_site

    with counted(progress, "site", "files") as show:
        with no_garbage_collection():
            contents = contents_of(source, cache)
        places = source.places
        if places.site_dir is None:
            return write_site(contents, places.out_dir, base_url=places.base_url, progress=show)
        own_url = f"{places.base_url.rstrip('/')}/{places.out_dir.name}" if places.base_url else ""
        report = write_site(
            contents, places.out_dir, base_url=own_url, landing="../", progress=show
        )
        write_landing(places.site_dir, places.base_url)
        return report


def write_site_so_far(source: SiteSource) -> None:
    """Write the site, in a process beside the one that renders."""
    with Cache(source.places.cache_dir) as cache:
        write_site_of(source, cache, SILENT)
