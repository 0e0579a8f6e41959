"""Joins the caches of shards into one, which then holds what one build would have made.

Artifacts are copied after their bytes were checked against their digests; those that are damaged
are left out and named. A cache with anything of another network or recipe is refused as a whole,
before anything is copied from it: the address of every artifact must be one of this atlas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atlas.cache import Artifact, Cache, Damaged, Entry
from atlas.errors import CacheError, DamagedError, SpecError
from atlas.kinds.kind import Kind
from atlas.on_demand import ON_DEMAND
from atlas.origin import KIND as ORIGIN
from atlas.origin import origin_of, origins_in
from atlas.pass_parts import SUFFIX, PartRecord, drop_joined, is_joined
from atlas.pipeline import Atlas
from atlas.plan import jobs_of
from atlas.progress import counted
from atlas.sharding import Shard
from atlas.text import displayable, displayable_name

BATCH, BATCH_BYTES = 500, 1 << 26  # artifacts that are copied in one transaction, and their bytes
N_NAMED = 5
NETWORKS = "select source from networks order by source"


@dataclass(frozen=True)
class MergeReport:
    """What a merge did."""

    n_copied: int  # artifacts
    n_made: int  # of those that are made from others
    n_asked: int
    n_missing: int
    damaged: tuple[Damaged, ...]  # left out
    shards: tuple[str, ...]  # that are not in the cache, as far as others tell


def adopt_digests(folders: Sequence[Path], cache_dir: Path) -> None:
    """Take over which photographs the caches of shards have read, so that they are not read again.

    Raises:
        SpecError: a cache is the one that is merged into.
        CacheError: there is no such cache.
    """
    for folder in folders:
        if folder.resolve() == cache_dir.resolve():
            raise SpecError(
                f"{displayable_name(str(folder))} cannot be merged into itself; give another "
                "folder with --cache"
            )
    with ExitStack() as stack:
        sources = [stack.enter_context(opened(folder)) for folder in folders]
        known = stack.enter_context(Cache(cache_dir)).image_digests
        for source in sources:
            known.update(source.image_digests)


def merge(atlas: Atlas, folders: Sequence[Path]) -> MergeReport:
    """Copy the artifacts of other caches into that of an atlas, and make what follows from them.

    Raises:
        CacheError: a cache cannot be read, or has artifacts of another network or recipe.
        AtlasError: what is made from others cannot be made.
    """
    damaged: list[Damaged] = []
    n_copied = 0
    with ExitStack() as stack:
        sources = [stack.enter_context(opened(folder)) for folder in folders]
        wanted = _Wanted(atlas)
        every = [wanted.entries(source) for source in sources]
        n_all = sum(map(len, every))
        with counted(atlas.progress, "merging", "artifacts") as show:
            for source, entries in zip(sources, every, strict=True):
                damaged += source.damaged_rows
                missing = _missing(entries, atlas.cache)
                for batch in _batches(source, missing, damaged.append):
                    atlas.cache.put(batch)
                    n_copied += len(batch)
                    show(n_copied, n_all)
    plan = atlas.finish()
    drop_joined(atlas.cache)
    n_made = len(atlas.made)
    shards = tuple(_absent(atlas.cache)) if plan.n_missing else ()
    return MergeReport(n_copied, n_made, plan.n_asked, plan.n_missing, tuple(damaged), shards)


def opened(folder: Path) -> Cache:
    """The cache in a folder.

    Raises:
        CacheError: there is none.
    """
    try:
        return Cache(folder, must_exist=True)
    except CacheError as error:
        if not folder.exists():
            raise CacheError(
                f"no cache in {displayable_name(str(folder))}; give its folder"
            ) from error
        raise


class _Wanted:
    """Which artifacts belong to an atlas."""

    def __init__(self, atlas: Atlas) -> None:
        asked, facts = atlas.asked, atlas.facts
        whole = {layer.name: layer.units for layer in facts.layers}
        kinds = atlas.catalogue.kinds
        jobs = jobs_of(asked, facts, kinds, whole, ())
        self.origin = origin_of(asked, facts)
        self._keys = {key for job in jobs for key in job.keys}
        self._again = {kind.name for kind in kinds if _is_of_network(kind, atlas)}
        self._parts = {kind.name + SUFFIX for kind in kinds if kind.make_part}
        self._on_demand = {kind.name: kind for kind in ON_DEMAND}

    def entries(self, cache: Cache) -> list[Entry]:
        """The entries of a cache that are to be copied.

        Raises:
            CacheError: there are others beside them.
        """
        for origin in origins_in(cache):
            if not origin.is_of(self.origin):
                raise CacheError(
                    f"{_shown(cache)} is of {origin}; this merge is of {self.origin}: give the "
                    "options that the shards were made with, or leave that cache out"
                )
        everything = list(cache.entries(cache.keys()).values())
        foreign = [entry for entry in everything if not self._is_own(entry)]
        if foreign:
            raise CacheError(self._words(cache, foreign))
        return [each for each in everything if each.kind not in self._again or self._has(each)]

    def _is_own(self, entry: Entry) -> bool:
        if entry.kind in (ORIGIN, *self._again) or self._has(entry):
            return True
        if entry.kind in self._parts:
            return self._keys.issuperset(entry.record(PartRecord, "z").keys)
        kind = self._on_demand.get(entry.kind)
        return kind is not None and kind.record_of(entry).weights == self.origin.identity

    def _has(self, entry: Entry) -> bool:
        return entry.key in self._keys

    def _words(self, cache: Cache, foreign: Sequence[Entry]) -> str:
        first = foreign[0]
        sources = [displayable(source, 80) for (source,) in cache.select(NETWORKS)]
        networks = f" (it knows {', '.join(sources[:N_NAMED])})" if sources else ""
        return (
            f"{_shown(cache)} has {len(foreign):,} artifacts of another network, recipe, preset, "
            f"seed, photographs or version, such as {displayable(first.kind, 60)} of "
            f"{displayable(first.unit, 60)}{networks}; this merge is of {self.origin}: give the "
            "options that it was made with, or leave that cache out"
        )


def _is_of_network(kind: Kind[Any], atlas: Atlas) -> bool:
    """Whether a kind's artifacts are made from all there is, and so made again after a merge."""
    return any(source.of == "network" for source in kind.sources_of(atlas.asked))


def _shown(cache: Cache) -> str:
    return displayable_name(str(cache.path.parent))


def _missing(entries: Iterable[Entry], cache: Cache) -> list[Entry]:
    there = cache.keys()
    return [entry for entry in entries if entry.key not in there and not is_joined(entry, there)]


def _batches(
    source: Cache, entries: Iterable[Entry], tell: Callable[[Damaged], object]
) -> Iterator[list[Artifact]]:
    """The artifacts of some entries, checked; those that are damaged are told and left out."""
    batch: list[Artifact] = []
    n_bytes = 0
    for entry in entries:
        try:
            artifact = _artifact(source, entry)
        except DamagedError:
            tell(Damaged(entry.key, entry.unit, entry.kind))
            continue
        batch.append(artifact)
        n_bytes += entry.n_bytes
        if len(batch) == BATCH or n_bytes > BATCH_BYTES:
            yield batch
            batch, n_bytes = [], 0
    if batch:
        yield batch


def _artifact(source: Cache, entry: Entry) -> Artifact:
    return Artifact(
        entry.key,
        entry.unit,
        entry.kind,
        entry.width_px,
        entry.height_px,
        entry.numbers_json,
        entry.seconds,
        source.read(entry.key),
    )


def _absent(cache: Cache) -> Iterator[str]:
    """The shards that are not in a cache, of those that the ones in it are parts of."""
    present = {origin.shard for origin in origins_in(cache)}
    shards = [Shard.parsed(text) for text in present if text]
    for of in sorted({shard.of for shard in shards}):
        every = (str(Shard(number, of)) for number in range(1, of + 1))
        yield from (text for text in every if text not in present)
