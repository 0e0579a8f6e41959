"""How large a site is, part by part, and whether GitHub Pages would take it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

# https://docs.github.com/en/pages/getting-started-with-github-pages/github-pages-limits
PAGES_BYTES = 1_000_000_000
PAGES_FILES = 65_000  # more take longer to publish than the ten minutes that there are
NEAR = 0.9  # of the bytes: time to say so

KIND_OF_PART = {  # what can be left out
    "inhibitory": "inhibitory",
    "examples": "examples",
    "fields": "field",
    "twins": "twin",
    "filters": "filter",
}


@dataclass(frozen=True)
class Part:
    """All files of one sort."""

    name: str
    n_files: int
    n_bytes: int


def parts_of(sizes: Mapping[str, int]) -> tuple[Part, ...]:
    """The parts of a site, largest first, from the sizes of its files by path."""
    found: dict[str, list[int]] = {}
    for path, n_bytes in sizes.items():
        found.setdefault(_part(path), []).append(n_bytes)
    parts = (Part(name, len(each), sum(each)) for name, each in found.items())
    return tuple(sorted(parts, key=lambda part: -part.n_bytes))


def warnings(parts: Sequence[Part]) -> tuple[str, ...]:
    """What to say of a site that is near a limit of GitHub Pages, or beyond: cause and remedy."""
    n_files, n_bytes = sum(part.n_files for part in parts), sum(part.n_bytes for part in parts)
    said = []
    if n_bytes > NEAR * PAGES_BYTES:
        said.append(
            f"the site has {n_bytes / 1e6:,.0f} MB, GitHub Pages takes "
            f"{PAGES_BYTES / 1e6:,.0f}; {_remedy(parts, lambda part: part.n_bytes / 1e6, 'MB')}"
        )
    if n_files > PAGES_FILES:
        said.append(
            f"the site has {n_files:,} files, GitHub Pages takes about "
            f"{PAGES_FILES:,} in time; {_remedy(parts, lambda part: part.n_files, 'files')}"
        )
    return tuple(said)


def _remedy(parts: Sequence[Part], size: Callable[[Part], float], unit: str) -> str:
    """The kind that saves most of what is short."""
    optional = [part for part in parts if part.name in KIND_OF_PART]
    if not optional:
        return "publish fewer layers, from a cache of their own"
    largest = max(optional, key=size)
    kind = KIND_OF_PART[largest.name]
    return f"build with --leave-out {kind}, which saves {size(largest):,.0f} {unit}"


def _part(path: str) -> str:
    name = path.rpartition("/")[2]
    if name.endswith(".html"):
        return "pages"
    if re.fullmatch(r"\d+\.webp|cover\.webp", name):
        return "pictures"
    if sheet := re.fullmatch(r"([a-z]+)-\d+\.webp", name):
        return sheet[1]
    return "data" if name.endswith((".json", "search-index.js")) else "other"
