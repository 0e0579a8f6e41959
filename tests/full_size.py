#!/usr/bin/env python3
"""A site of full size, measured: python tests/full_size.py WEIGHTS IMAGES FOLDER.

WEIGHTS is a file of ResNet-50's, IMAGES a folder of photographs. Every unit gets everything; only
what is synthesised, which takes hours without a GPU, is made for a few units of a few layers, and
the others get copies of it. Then the site is made, timed and checked. FOLDER keeps cache and site:
what is there already is not made again.
"""

from __future__ import annotations

import dataclasses
import html
import itertools
import multiprocessing
import os
import posixpath
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from tqdm import tqdm

from atlas.asked import AtlasSpec, Selection
from atlas.cache import Artifact, Cache
from atlas.kinds import KINDS
from atlas.pipeline import Atlas
from atlas.places import Places
from atlas.plan import Job
from atlas.site.writer import remove_site

BUILD = Path(__file__).parents[1] / "build.py"
SYNTHESISED = tuple(kind.name for kind in KINDS if kind.steps)
COMPARED = tuple(  # from what the whole network has
    kind.name
    for kind in KINDS
    if any(each.of == "network" for each in kind.sources_of(AtlasSpec()))
)
SAMPLE = Selection(  # shallow pictures are cheap, and their sizes differ most
    layers=("conv1", "layer1.*", "layer2.0.*", "layer[234].1.conv2", "fc"), units=(range(8),)
)


def fill(spec: AtlasSpec, places: Places) -> None:
    """Make everything, with copies in place of most of what is synthesised."""
    with Atlas(spec, places) as atlas:
        planned = {job.kind.name for job in atlas.plan().asked}
    measured = tuple(sorted(planned - {*SYNTHESISED, *COMPARED}))
    sample = dataclasses.replace(spec, kinds=SYNTHESISED, selection=SAMPLE)
    for part in (dataclasses.replace(spec, kinds=measured), sample):
        with Atlas(part, places) as atlas:
            atlas.render(atlas.plan())
    with Atlas(dataclasses.replace(spec, kinds=SYNTHESISED), places) as atlas:
        plan, sampled = atlas.plan(), _sampled(sample, places)
        for job in tqdm(plan.missing, desc="copies", unit=" layers"):
            atlas.cache.put(list(_copies(job, sampled, atlas.cache)))
    with Atlas(spec, places) as atlas:  # what is similar
        atlas.render(atlas.plan())


def _sampled(sample: AtlasSpec, places: Places) -> tuple[Job, ...]:
    with Atlas(sample, places) as atlas:
        return atlas.plan().asked


def _copies(job: Job, sampled: tuple[Job, ...], cache: Cache) -> Iterator[Artifact]:
    """Copies of what was made for the nearest layer, for the units of a job."""
    source = min(
        (each for each in sampled if each.kind.name == job.kind.name),
        key=lambda each: abs(each.layer.index - job.layer.index),
    )
    entries = list(cache.entries(source.keys).values())
    for (unit, key), entry in zip(job.keyed, itertools.cycle(entries), strict=False):
        yield Artifact(
            key=key,
            unit=unit.id,
            kind=job.kind.name,
            width_px=entry.width_px,
            height_px=entry.height_px,
            numbers_json=entry.numbers_json,
            seconds=entry.seconds,
            data=cache.read(entry.key),
        )


def change_units(cache_dir: Path) -> None:
    """Exchange the pictures of the last two units."""
    with Cache(cache_dir) as cache:
        *_, one, other = cache.of_kind("excitatory")
        data = {entry.key: cache.read(entry.key) for entry in (one, other)}
        pairs = ((one, other), (other, one))
        cache.put(
            [
                Artifact(
                    key=entry.key,
                    unit=entry.unit,
                    kind=entry.kind,
                    width_px=another.width_px,
                    height_px=another.height_px,
                    numbers_json=entry.numbers_json,
                    seconds=entry.seconds,
                    data=data[another.key],
                )
                for entry, another in pairs
            ]
        )


def timed(what: str, *arguments: str) -> None:
    """Run the command, and print its time, the memory of its largest process, and the pages."""
    begun = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, str(BUILD), *arguments], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        lines = process.stdout.read().splitlines()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds, peak_gb = time.perf_counter() - begun, usage.ru_maxrss / 1e6
    said = next((line for line in lines if " pages, " in line), "")
    print(f"{what:20}{seconds:7.2f} s, {peak_gb:.2f} GB  {said}", flush=True)
    if process.returncode:
        sys.exit(process.returncode)


def broken_links(site: Path) -> tuple[int, list[str]]:
    """How many links there are inside a site, and those that lead nowhere."""
    files = {
        f"{folder[len(str(site)) :]}/{name}".lstrip("/")
        for folder, _, names in os.walk(site)
        for name in names
    }
    ids: dict[str, set[str]] = {}
    n_links, broken = 0, []
    for page in tqdm(sorted(path for path in files if path.endswith(".html")), desc="links"):
        text = (site / page).read_text(encoding="utf-8")
        for target in re.findall(r'\s(?:href|src)="([^"]*)"', text):
            path, _, fragment = html.unescape(target).partition("#")
            if "://" in path:
                continue
            found = posixpath.normpath(posixpath.join(posixpath.dirname(page), unquote(path)))
            found = found if path else page
            n_links += 1
            if found not in files:
                broken.append(f"{page}: {target}")
            elif fragment and "=" not in fragment and found.endswith(".html"):  # else a view
                if found not in ids:
                    ids[found] = set(re.findall(r'\sid="([^"]*)"', (site / found).read_text()))
                if fragment not in ids[found]:
                    broken.append(f"{page}: {target}")
    return n_links, broken


def main(weights: str, images: str, folder: str, preset: str = "standard") -> None:
    """Fill a cache, then print a line for each thing that is measured."""
    places = Places(Path(folder) / "site", Path(folder) / "cache", images_dir=Path(images))
    spec = AtlasSpec(family="resnet50", weights=weights, preset=preset)  # type: ignore[arg-type]
    # In a process of its own: a child's memory is counted from what its parent had.
    filling = multiprocessing.get_context("spawn").Process(target=fill, args=(spec, places))
    filling.start()
    filling.join()
    if filling.exitcode:
        sys.exit(filling.exitcode)
    remove_site(places.out_dir)
    options = ["--model=resnet50", f"--weights={weights}", f"--preset={preset}"]
    options += [f"--images={images}", f"--cache={places.cache_dir}", f"--out={places.out_dir}"]
    timed("--help", "--help")
    timed("status", "status", *options)
    timed("the whole site", *options)
    timed("nothing changed", *options)
    change_units(places.cache_dir)
    timed("two units changed", *options)
    change_units(places.cache_dir)
    n_links, broken = broken_links(places.out_dir)
    print(f"{n_links:,} links inside the site, {len(broken)} broken", *broken[:5], sep="\n")
    pages = sorted(path.stat().st_size for path in places.out_dir.glob("*/[0-9]*.html"))
    print(f"HTML of a unit: {pages[len(pages) // 2]:,} bytes in the median, {pages[-1]:,} at most")


if __name__ == "__main__":
    main(*sys.argv[1:])
