"""From what was asked for to a finished site: plan, render what is missing, write the site."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import pickle
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from atlas.addressing import artifact_keys
from atlas.asked import AtlasSpec
from atlas.cache import Artifact, Cache, Entry
from atlas.catalogue import CATALOGUE, Catalogue
from atlas.cluster import Cluster, devices_named
from atlas.cluster.board import read_board
from atlas.cluster.scheduling import Failure
from atlas.console import say_above
from atlas.damage import N_MENDINGS, Damage, not_kept, without_damage
from atlas.errors import DamagedError
from atlas.families import find_family, finder_of, listed_family
from atlas.families.family import Family
from atlas.given_names import read_names
from atlas.heap import import_torch, no_garbage_collection
from atlas.kinds.kind import Encoding
from atlas.labels import with_labels
from atlas.lazily import load
from atlas.legacy import adopt_old_photographs
from atlas.making import Making
from atlas.network.graph_sources import sources_forgotten
from atlas.network.source import weights_source
from atlas.observer import Observer
from atlas.on_demand.page import Request
from atlas.origin import origin_of, say_origin
from atlas.pass_parts import drop_joined, passes_of, with_joined
from atlas.photographs import given_images, last_shown, notes_on
from atlas.places import Places
from atlas.plan import (
    Job,
    Plan,
    StageTime,
    make_plan,
    measured_speed,
    remaining,
    stage_times,
)
from atlas.progress import Progress, counted, progress_on
from atlas.publishing import SiteSource, contents_of, write_site_of, write_site_so_far
from atlas.records import to_json
from atlas.refresh import Refresher
from atlas.sharding import Shard, jobs_of_shard
from atlas.status import Status, status_of
from atlas.units import NetworkFacts

if TYPE_CHECKING:  # torch, which takes seconds to import, and the site are not always needed
    from atlas.engine import Engine
    from atlas.network.network import Network
    from atlas.renderer import Renderer
    from atlas.site.contents import Contents
    from atlas.site.writer import SiteReport

DEVICES_EVERYWHERE = ("auto", "cpu")


@dataclass(frozen=True)
class BuildReport:
    """What a build did."""

    n_made: int  # artifacts
    n_there: int  # artifacts that were asked for and done before
    stages: tuple[StageTime, ...]  # of the network, with the times of their synthesised pictures
    site: SiteReport
    notes: tuple[str, ...] = ()  # about photographs that were not used
    failures: tuple[Failure, ...] = ()  # what workers could not make


@dataclass(frozen=True)
class ShardReport:
    """What the build of a shard did."""

    n_made: int  # artifacts
    n_there: int
    stages: tuple[StageTime, ...]


class Atlas:
    """One atlas on disk: its network's facts, what is done, what is missing.

    Use as a context manager: it keeps the cache open.

    Attributes:
        asked: what was asked, with the digest of the photographs filled in.
        facts: of the network, with the labels that were asked for.
        given_names: names that were given to units by hand, by the units' ids.
        images: the photographs that were given, or else those of the family; None without any.

    Raises:
        AtlasError: the family, weights, labels, photographs or the cache cannot be read.
    """

    def __init__(
        self,
        asked: AtlasSpec,
        places: Places,
        catalogue: Catalogue = CATALOGUE,
        progress: Progress | None = None,
    ) -> None:
        """Open it.

        Args:
            asked: what is asked for.
            places: folders and device.
            catalogue: kinds and families.
            progress: shows how far the work has got; what suits stderr if left out.
        """
        self.places = places
        self.progress = progress or progress_on(sys.stderr)
        self.catalogue = catalogue
        self._listed = listed_family(asked.family, catalogue.families)
        self._network: Network | None = None
        self._seconds: dict[str, float] = {}  # for each artifact that was made here, by key
        self._failures: dict[str, Failure] = {}  # what could not be made, by key
        self._closing = ExitStack()
        self._closing.enter_context(sources_forgotten())
        self.cache = Cache(places.cache_dir)
        self._closing.callback(self.cache.close)
        try:
            self.asked = asked
            self.images = given_images(places, self._listed, self.cache, self.progress)
            self.facts = with_labels(self._find_facts(), asked.labels)
            names_path = places.names_path
            self.given_names = read_names(names_path, self.facts) if names_path else {}
            if self.images is None:  # photographs that are given are shown to the network again
                adopt_old_photographs(self.cache, self.facts)
            given = self.images
            sha256, n_images = (
                (given.sha256, len(given.files))
                if given
                else last_shown(self.cache, asked, self.facts)
            )
            self.asked = dataclasses.replace(asked, images_sha256=sha256, n_images=n_images)
            self._damage = Damage(
                self.cache, self.asked, self.facts, catalogue.kinds, has_images=given is not None
            )
        except BaseException:
            self._closing.close()
            raise

    def __enter__(self) -> Atlas:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def build(self) -> BuildReport:
        """Render what is missing, then write the site.

        Raises:
            AtlasError: what was asked for cannot be made, or the site cannot be written.
        """
        self._seconds, self._failures = {}, {}
        plan = self.plan()
        self.render(plan)
        notes = notes_on(self.images, self.cache, self.asked, self.facts)
        site = self.write()
        asked = self.plan().asked if self._damage.is_known or self._failures else plan.asked
        made = [key for job in asked for key in job.keys if key in self._seconds]
        n_there = sum(len(job.keys) for job in asked) - len(made)
        times, failures = stage_times(asked, self._seconds), tuple(self._failures.values())
        return BuildReport(len(made), n_there, times, site, notes, failures)

    def plan(self) -> Plan:
        """What was asked for, and what of it is missing; damaged artifacts are named on stderr."""
        done = self.cache.keys()
        self._damage.note(self.cache.damaged_rows)
        with no_garbage_collection():
            if self.places.shard:
                return self._plan_of(self.places.shard, done)
            return make_plan(
                self.asked,
                self.facts,
                done,
                self.catalogue.kinds,
                has_images=self.images is not None,
                lost=self._damage.jobs(),
                failed=self._failures,
            )

    def _plan_of(self, shard: Shard, done: set[str]) -> Plan:
        """What one shard makes, and what of it is missing."""
        has_images = self.images is not None
        kinds = self.catalogue.kinds
        everything = make_plan(self.asked, self.facts, (), kinds, has_images=has_images).asked
        jobs = jobs_of_shard(everything, shard, self.facts, self.asked.n_images)
        return remaining(Plan(jobs, ()), done)

    def finish(self) -> Plan:
        """Make what follows from other artifacts and what joins parts; returns the plan after it.

        Nothing is made for which the network or photographs would have to be gone through.

        Raises:
            AtlasError: something cannot be made.
        """
        plan = self.plan()
        jobs = with_joined(plan.missing, self.cache, self.asked.n_images)
        there = self.cache.keys()
        possible: list[Job] = []
        for job in jobs:
            if job.sources and there.issuperset(job.sources):
                possible.append(job)
                there.update(job.keys)
        self.fill(Plan(tuple(possible), tuple(possible)))
        return self.plan()

    def build_shard(self, shard: Shard) -> ShardReport:
        """Make what a shard is to make; no site is written.

        Raises:
            AtlasError: something cannot be made.
        """
        plan = self.plan()
        say_origin(self.cache, origin_of(self.asked, self.facts, str(shard)))
        stages = self.fill(plan)
        n_made = len(self.made)
        return ShardReport(n_made, plan.n_asked - n_made, stages)

    @property
    def made(self) -> frozenset[str]:
        """The addresses of the artifacts that were made here."""
        return frozenset(self._seconds)

    def render(self, plan: Plan) -> tuple[StageTime, ...]:
        """Render everything that is missing into the cache.

        If that takes long, the site of the artifacts so far is written from time to time.

        Returns the times of synthesised pictures by stage of the network.

        Raises:
            AtlasError: something cannot be made, or the cache does not keep it.
        """
        from atlas.site.landing import prepare_landing
        from atlas.site.writer import prepare_folder

        if self.places.site_dir:
            prepare_landing(self.places.site_dir, self.places.out_dir.name)
        prepare_folder(self.places.out_dir, [layer.name for layer in self.facts.layers])
        return self.fill(plan, self._site_refresher)

    def fill(
        self,
        plan: Plan,
        meanwhile: Callable[[], AbstractContextManager[object]] = contextlib.nullcontext,
    ) -> tuple[StageTime, ...]:
        """Render everything that is missing into the cache, and write no site.

        Args:
            plan: gives what is missing.
            meanwhile: makes the context in which it is rendered.

        Returns the times of synthesised pictures by stage of the network.

        Raises:
            AtlasError: something cannot be made, or the cache does not keep it.
        """
        if self.cache.damaged_rows:
            self._damage.set_aside()
        asked = plan
        for _ in range(N_MENDINGS + 1):
            if not plan.missing:
                return stage_times(asked.missing, self._seconds)
            try:
                self._make(plan, meanwhile)
            except DamagedError:  # something that others are made from
                self._damage.set_aside()
                asked = plan = self.plan()
            if self._failures:  # what is made from others is made without those that failed
                plan = self.plan()
            plan = remaining(plan, self.cache.keys())
        raise not_kept(self.cache)

    def write(self) -> SiteReport:
        """Write the site of everything the cache holds for this network and recipe.

        Artifacts that turn out to be damaged are made again.
        """
        return without_damage(
            self.cache,
            lambda: write_site_of(self._site_source(), self.cache, self.progress),
            self._mend,
        )

    def _mend(self) -> None:
        """Make what is damaged in the cache again."""
        self._damage.set_aside()
        self.render(remaining(Plan(self._damage.jobs(), ()), self.cache.keys()))

    def _make(self, plan: Plan, meanwhile: Callable[[], AbstractContextManager[object]]) -> None:
        """Make what a plan misses."""
        if not self.places.cluster:
            self.load_network().prepare()
        with self.progress.stage("pictures and panels") as view, meanwhile():
            # That of earlier artifacts is the speed of one process.
            earlier = None if self.places.cluster else self._speed(plan)
            making = Making(plan, earlier, view)

            def kept(artifacts: list[Artifact]) -> None:
                self._seconds |= {artifact.key: artifact.seconds for artifact in artifacts}
                making.done(artifacts)

            def commit(artifacts: list[Artifact]) -> None:
                self.cache.put(artifacts)
                kept(artifacts)

            if self.places.cluster:
                self._make_with_workers(self.places.cluster, plan.missing, making, commit, kept)
            else:
                jobs = self._with_joined(plan.missing, making)
                with self._engine(making) as engine:
                    engine.run(jobs, commit)
        if not self.places.shard:
            drop_joined(self.cache)

    def _with_joined(self, jobs: Sequence[Job], observer: Observer) -> Sequence[Job]:
        """Jobs, with those of passes that others have begun in parts; what these did counts."""
        n_images = self.asked.n_images
        for shared in passes_of(jobs, self.cache, n_images):
            if shared.parts:
                observer.advance(shared.cost_done, is_new=False)
        return with_joined(jobs, self.cache, n_images)

    def _engine(self, observer: Observer) -> Engine:
        """The engine of this process."""
        from atlas.engine import Engine

        return Engine(self.load_network(), self.cache, self.images, observer)

    def _make_with_workers(
        self,
        cluster: Cluster,
        jobs: Sequence[Job],
        observer: Observer,
        commit: Callable[[list[Artifact]], None],
        kept: Callable[[list[Artifact]], None],
    ) -> None:
        """Have workers make jobs; `kept` is told of what they have made."""
        from atlas.cluster.engine import ClusterEngine
        from atlas.cluster.messages import Setup
        from atlas.cluster.ray_workers import RayWorkers

        setup = Setup(self.asked, self.catalogue.families, self.facts.identity, str(Path.cwd()))
        engine = ClusterEngine(
            self.asked,
            lambda: RayWorkers(cluster, setup, self.images),
            lambda: self._engine(observer),
            self.cache,
            kept,
            observer,
            cluster.patience_s,
        )
        engine.run(jobs, commit)
        self._failures |= {failure.key: failure for failure in engine.failures}

    def contents(self) -> Contents:
        """The contents of the site: this selection, and everything that was rendered before."""
        return contents_of(self._site_source(), self.cache)

    def on_demand(self, requests: Sequence[Request]) -> tuple[Entry, ...]:
        """Make what was asked for, as far as it is not in the cache, where it is kept.

        Raises:
            AtlasError: something cannot be made.
        """
        entries = []
        with counted(self.progress, "pictures", "pictures") as show:
            for n_done, request in enumerate(requests):
                show(n_done, len(requests))
                entries.append(self._entry_of(request))
        return tuple(entries)

    def _entry_of(self, request: Request) -> Entry:
        identity = self.facts.identity
        (key,) = artifact_keys(identity, (request.unit,), request.kind.name, request.spec)
        if key not in self.cache.entries([key]):
            self.cache.put([self._on_demand_artifact(request, key)])
        return self.cache.entries([key])[key]

    def _on_demand_artifact(self, request: Request, key: str) -> Artifact:
        from atlas.pictures.encode import encode

        begun = time.perf_counter()
        kind, unit_id = request.kind, request.unit.id
        record, pixels = load(kind.make)(self._renderer(), request)
        slot = f"{self.facts.identity} {kind.name} {unit_id}" if request.is_latest_only else ""
        return Artifact(
            key=key,
            unit=unit_id,
            kind=kind.name,
            width_px=pixels.shape[1],
            height_px=pixels.shape[0],
            numbers_json=to_json(record, "logit"),
            seconds=round(time.perf_counter() - begun, 4),
            data=encode(pixels, Encoding().quality_for(pixels.shape[0])),
            slot=slot,
        )

    def _renderer(self) -> Renderer:
        from atlas.renderer import Renderer

        return Renderer(self.load_network(), self.cache, self.images)

    def status(self) -> Status:
        """What is done, what is missing, and how long that will take.

        Raises:
            AtlasError: the weights cannot be loaded, or there is no such device.
        """
        for device in devices_named(self.places.device):
            if device not in DEVICES_EVERYWHERE:
                from atlas.devices import all_gpus, refuse_missing

                refuse_missing(device, all_gpus())
        plan = self.plan()
        workers = read_board(self.places.cache_dir)
        return status_of(plan, self.facts, self.cache.disk_bytes, self._speed(plan), workers)

    def _site_source(self) -> SiteSource:
        return SiteSource(
            self.asked,
            self.places,
            self.facts,
            self.catalogue.kinds,
            _glossary_of(self._listed),
            self.given_names,
            tuple(self._failures.values()),
        )

    def _site_refresher(self) -> AbstractContextManager[object]:
        """A process that writes the site so far; none if the site's source cannot be pickled."""
        index = self.places.front_page
        work = functools.partial(write_site_so_far, self._site_source())
        try:
            return Refresher(
                work, lambda: self.progress.tell(f"The site so far, which will grow: {index}")
            )
        except (pickle.PicklingError, AttributeError, TypeError):
            return contextlib.nullcontext()  # a kind from outside the package has a local function

    def _speed(self, plan: Plan) -> float | None:
        """Multiply-accumulates per second, measured on earlier artifacts of this recipe."""
        keys = (key for job in plan.asked for key in job.keys)
        return measured_speed(plan.asked, self.cache.entries(keys))

    def _find_facts(self) -> NetworkFacts:
        source = weights_source(self.asked, self._listed or finder_of(self.asked.family))
        facts = self.cache.facts(source) if source else None
        if facts is None:
            facts = self.load_network().facts
            if source:
                self.cache.save_facts(source, facts)
        for remark in facts.remarks:
            say_above(remark)
        return facts

    def load_network(self) -> Network:
        """The network with its weights, loaded when it is first asked for.

        Raises:
            AtlasError: the weights cannot be loaded, or there is no such device.
        """
        if self._network is None:
            import_torch()
            from atlas.devices import find_device
            from atlas.network.load import load_network

            # With workers, hardly anything is made here, and this machine may have no such device.
            device = find_device("cpu" if self.places.cluster else self.places.device)
            families = self.catalogue.families
            family = find_family(self.asked.family, families)
            with self.progress.stage("loading network"):
                self._network = load_network(
                    self.asked, family, families, device, progress=self.progress
                )
        return self._network


def _glossary_of(family: Family | None) -> str:
    glossary = family.glossary if family else None
    return glossary.read_text(encoding="utf-8") if glossary else ""
