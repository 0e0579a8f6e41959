"""How large a site is, part by part, and whether GitHub Pages accepts it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from atlas import paths
from atlas.kinds import KINDS
from atlas.kinds.kind import Kind
from atlas.kinds.map import KIND as MAP
from atlas.kinds.photographs import KIND as PHOTOGRAPHS

# https://docs.github.com/en/pages/getting-started-with-github-pages/github-pages-limits
PAGES_BYTES = 1_000_000_000
PAGES_FILES = 65_000  # more files take longer than the ten minutes that a deployment may take
NEAR = 0.9  # share of PAGES_BYTES above which a build warns


@dataclass(frozen=True)
class Part:
    """Number and size of the files of one part of a site."""

    name: str
    n_files: int
    n_bytes: int


def parts_of(sizes: Mapping[str, int]) -> tuple[Part, ...]:
    """The parts of a site, largest first, from the sizes of its files by path."""
    by_part: dict[str, list[int]] = {}
    for path, n_bytes in sizes.items():
        by_part.setdefault(paths.part_of(path), []).append(n_bytes)
    parts = (Part(name, len(each), sum(each)) for name, each in by_part.items())
    return tuple(sorted(parts, key=lambda part: -part.n_bytes))


def parts_together(*sites: Sequence[Part]) -> tuple[Part, ...]:
    """The parts of several sites that are published together, largest first."""
    by_name: dict[str, list[Part]] = {}
    for part in itertools.chain(*sites):
        by_name.setdefault(part.name, []).append(part)
    together = (
        Part(name, sum(each.n_files for each in same), sum(each.n_bytes for each in same))
        for name, same in by_name.items()
    )
    return tuple(sorted(together, key=lambda part: -part.n_bytes))


def warnings(parts: Sequence[Part], kinds: Sequence[Kind[Any]] = KINDS) -> tuple[str, ...]:
    """Messages about a site near or above a limit of GitHub Pages, each with a remedy."""
    optional = {kind.sheet.stem: kind.name for kind in kinds if kind.sheet}
    optional |= {paths.MAP_DIR: MAP.name, paths.PHOTOGRAPHS_DIR: PHOTOGRAPHS.name}
    n_files, n_bytes = sum(part.n_files for part in parts), sum(part.n_bytes for part in parts)
    messages = []
    if n_bytes > NEAR * PAGES_BYTES:
        remedy = _remedy(parts, optional, lambda part: part.n_bytes / 1e6, "MB")
        messages.append(
            f"the site has {n_bytes / 1e6:,.0f} MB, GitHub Pages takes "
            f"{PAGES_BYTES / 1e6:,.0f}; {remedy}"
        )
    if n_files > PAGES_FILES:
        remedy = _remedy(parts, optional, lambda part: part.n_files, "files")
        messages.append(
            f"the site has {n_files:,} files, GitHub Pages takes about "
            f"{PAGES_FILES:,} in time; {remedy}"
        )
    return tuple(messages)


def _remedy(
    parts: Sequence[Part],
    optional: Mapping[str, str],
    size: Callable[[Part], float],
    unit: str,
) -> str:
    """How to make the site smaller; `optional` gives the kind of each part that can be left out."""
    removable = [part for part in parts if part.name in optional]
    if not removable:
        return "publish fewer layers, from a cache of their own"
    largest = max(removable, key=size)
    kind = optional[largest.name]
    return f"build with --leave-out {kind}, which saves {size(largest):,.0f} {unit}"
