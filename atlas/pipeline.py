"""From what was asked to a finished site: look up, plan, render what is missing, write."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from atlas import demo
from atlas.cache import Artifact, Cache, Entry
from atlas.digest import file_sha256
from atlas.labels import with_labels
from atlas.plan import (
    Job,
    Plan,
    StageTime,
    jobs_of,
    make_plan,
    measured_speed,
    similar_jobs,
    stage_times,
)
from atlas.progress import progress_bar
from atlas.refresh import Refresher
from atlas.spec import KINDS, AtlasSpec, Like, artifact_keys, describe
from atlas.units import WHOLE_LAYER, Kind, NetworkFacts, Unit

if TYPE_CHECKING:  # a finished atlas needs no torch, which takes seconds, and its status no site
    from atlas.engine import Engine
    from atlas.network import Network
    from atlas.photographs import Photographs, Pixels
    from atlas.site.views import Contents
    from atlas.site.writer import SiteReport


@dataclass(frozen=True)
class Places:
    """Where things go, and on what they are computed. None of it changes a picture."""

    out_dir: Path
    cache_dir: Path
    device: str = "auto"
    base_url: str = ""  # of the published site
    left_out: tuple[Kind, ...] = ()  # kinds that are not to be in the site


@dataclass(frozen=True)
class LayerStatus:
    """How far one layer is."""

    layer: str
    n_units: int
    n_asked: int  # pictures
    n_done: int


@dataclass(frozen=True)
class Status:
    """How far an atlas is."""

    facts: NetworkFacts
    layers: tuple[LayerStatus, ...]
    n_asked: int  # pictures
    n_done: int
    cache_bytes: int
    seconds_left: float | None  # None until something was measured


class Atlas:
    """One atlas on disk: its network's facts, what is done, what is missing.

    Use as a context manager: it keeps the cache open.
    """

    def __init__(self, spec: AtlasSpec, places: Places) -> None:
        self.spec = spec
        self.places = places
        self.cache = Cache(places.cache_dir)
        self._network: Network | None = None
        try:
            self.facts = with_labels(self._find_facts(), spec.labels)
        except BaseException:
            self.cache.__exit__()
            raise

    def __enter__(self) -> Atlas:
        return self

    def __exit__(self, *_: object) -> None:
        self.cache.__exit__()

    def plan(self) -> Plan:
        """What was asked for, and what of it is missing."""
        return make_plan(self.spec, self.facts, self.cache.keys())

    def render(self, plan: Plan) -> tuple[StageTime, ...]:
        """Render and keep everything that is missing; a bar on stderr shows how far it is.

        Where that takes long, the site of what is there so far is written now and then.

        Returns how long each stage of the network took, where pictures were synthesised.
        """
        from atlas.site.writer import prepare_folder

        prepare_folder(self.places.out_dir)
        if not plan.missing:
            return ()
        seconds: dict[str, float] = {}
        with (
            progress_bar(plan, self._speed(plan)) as bar,
            self._growing_site(),
            self._engine() as engine,
        ):

            def commit(artifacts: list[Artifact]) -> None:
                self.cache.put(artifacts)
                seconds.update((artifact.key, artifact.seconds) for artifact in artifacts)
                bar.done(artifacts)

            engine.run(plan.missing, commit)
        return stage_times(plan.missing, seconds, self.facts)

    def write(self) -> SiteReport:
        """Write the site of everything the cache holds for this network and recipe."""
        from atlas.site.writer import write_site

        with tqdm(desc="site", unit="file", file=sys.stderr, leave=False) as bar:

            def show(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            return write_site(
                self.contents(),
                self.places.out_dir,
                base_url=self.places.base_url,
                progress=show,
            )

    def contents(self) -> Contents:
        """What the site is made from: this selection, and whatever else was rendered before."""
        from atlas.site.views import Contents, SpecSummary

        spec = dataclasses.replace(self.spec, images=self.spec.images or self._shown_before())
        jobs = self._whole_network(spec)
        found = self.cache.entries(key for job in jobs for key in job.keys)
        if "similar" not in self.places.left_out:
            compared = similar_jobs(spec, self.facts, found)
            found |= self.cache.entries(key for job in compared for key in job.keys)
        entries: dict[str, dict[str, Entry]] = {}
        for entry in found.values():
            entries.setdefault(entry.unit, {})[entry.kind] = entry
        recipes = {job.layer.name: describe(job.spec) for job in jobs if job.kind == "excitatory"}
        summary = SpecSummary(self.spec.recipe, self.spec.preset, self.spec.seed, recipes)
        likes = tuple(
            entry
            for entry in self.cache.of_kind("like")
            if entry.numbers["weights"] == self.facts.sha256
        )
        return Contents(self.facts, summary, entries, self.cache.read, likes)

    def look_up(self, photo: Path) -> Entry:
        """Which units an image drives hardest; remembered like everything else.

        Raises:
            SpecError: the file is no image.
        """
        from atlas.photographs import read_photograph

        pixels = read_photograph(photo, self.facts.input_size_px)
        spec = Like(hashlib.sha256(pixels.tobytes()).hexdigest())
        unit = Unit(like_slug(photo.stem, spec.pixels_sha256), WHOLE_LAYER)
        (key,) = artifact_keys(self.facts.sha256, (unit,), "like", spec)
        if key not in self.cache.entries([key]):
            self.cache.put([self._looked_up(photo, pixels, spec, unit, key)])
        return self.cache.entries([key])[key]

    def _looked_up(self, photo: Path, pixels: Pixels, spec: Like, unit: Unit, key: str) -> Artifact:
        from atlas.engine import WEBP_QUALITY, encode
        from atlas.panels.likeness import hardest_driven

        begun = time.perf_counter()
        found = hardest_driven(self._load_network().watch(self.facts.layers), pixels, spec)
        return Artifact(
            key=key,
            unit=unit.id,
            kind="like",
            width_px=pixels.shape[1],
            height_px=pixels.shape[0],
            numbers={"weights": self.facts.sha256, "name": photo.name, **found},
            seconds=round(time.perf_counter() - begun, 4),
            data=encode(pixels, WEBP_QUALITY),
        )

    def status(self) -> Status:
        """What is done, what is missing, and how long that will take."""
        plan = self.plan()
        asked, missing = (_pictures_by_layer(jobs) for jobs in (plan.asked, plan.missing))
        speed = self._speed(plan)
        return Status(
            facts=self.facts,
            layers=tuple(
                LayerStatus(
                    layer.name,
                    layer.n_units,
                    asked[layer.name],
                    asked[layer.name] - missing[layer.name],
                )
                for layer in self.facts.layers
                if asked[layer.name]
            ),
            n_asked=plan.n_asked,
            n_done=plan.n_asked - plan.n_missing,
            cache_bytes=self.cache.disk_bytes,
            seconds_left=plan.missing_cost / speed if speed else None,
        )

    def _whole_network(self, spec: AtlasSpec) -> tuple[Job, ...]:
        """Every job there could be: what was rendered before is shown, asked for now or not."""
        kinds = tuple(kind for kind in KINDS if kind not in self.places.left_out)
        spec = dataclasses.replace(spec, kinds=kinds)
        return jobs_of(spec, self.facts, {layer.name: layer.units for layer in self.facts.layers})

    def _shown_before(self) -> Photographs | None:
        """The photographs that this network was shown last, wherever they are now."""
        from atlas.photographs import Photographs

        whole = {layer.name: layer.units for layer in self.facts.layers}
        for entry in reversed(self.cache.of_kind("natural")):
            photographs = Photographs(Path(), (), entry.numbers.get("folder_sha256", ""))
            spec = dataclasses.replace(self.spec, images=photographs, kinds=("natural",))
            if any(entry.key in job.keys for job in jobs_of(spec, self.facts, whole)):
                return photographs
        return None

    def _growing_site(self) -> Refresher:
        index = self.places.out_dir / "index.html"
        return Refresher(
            functools.partial(_write_site_so_far, self.spec, self.places),
            lambda: tqdm.write(f"The site so far, which will grow: {index}", file=sys.stderr),
        )

    def _engine(self) -> Engine:
        from atlas.engine import Engine

        return Engine(self._load_network(), self.cache, self.spec.images)

    def _speed(self, plan: Plan) -> float | None:
        """Multiply-accumulates per second, as measured on what this recipe rendered before."""
        keys = (key for job in plan.asked for key in job.keys)
        return measured_speed(plan.asked, self.cache.entries(keys))

    def _find_facts(self) -> NetworkFacts:
        source = _source(self.spec)
        facts = self.cache.facts(source)
        if facts is None:
            facts = self._load_network().facts
            self.cache.save_facts(source, facts)
        return facts

    def _load_network(self) -> Network:
        if self._network is None:
            from atlas.devices import find_device
            from atlas.network import load_network

            self._network = load_network(self.spec, find_device(self.places.device))
        return self._network


def like_slug(stem: str, sha256: str) -> str:
    """A name for the page of an image: what of the file's name is safe, and a digest."""
    safe = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:40]
    return f"{safe}-{sha256[:8]}".lstrip("-")


def _write_site_so_far(spec: AtlasSpec, places: Places) -> None:
    """What a process beside the one that renders does."""
    with Atlas(spec, places) as atlas:
        atlas.write()


def _source(spec: AtlasSpec) -> str:
    """What identifies a weights source without loading it: a published name, or a digest."""
    path = demo.WEIGHTS_PATH if spec.demo else Path(spec.weights)
    if path.is_file():
        return f"{'demo' if spec.demo else path.name} {file_sha256(path)}"
    return spec.weights


def _pictures_by_layer(jobs: Sequence[Job]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for job in jobs:
        counts[job.layer.name] += len(job.units)
    return counts
