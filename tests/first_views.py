#!/usr/bin/env python3
"""What pages load before anybody scrolls: python tests/first_views.py SITE [N].

SITE is a finished site. Its network, its largest layer, and N units (100 if left out) are opened on
several screens, with nothing cached and text compressed as GitHub Pages does: half of the units
are those with the heaviest pictures of their own, half are spread over the site. Ends with an error
where a page loads more than it may.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
from pathlib import Path
from typing import Any

from host import serve
from tqdm import tqdm
from visits import Visit, launch

SCREENS = ((390, 844), (1280, 800), (1920, 1080))
BUDGETS_KB = {
    "network": 300,
    "tour": 300,
    "layer": 300,
    "find": 600,
    "unit": 150,
    "HTML of a unit": 4.5,
}


def pages_of(site: Path, n_units: int) -> dict[str, list[str]]:
    """The pages that are opened, by kind."""
    layers = json.loads((site / "manifest.json").read_bytes())["layers"]
    largest = max(layers, key=lambda layer: layer["n_units"])["name"]
    units = sorted(site.glob("*/[0-9]*.html"))
    half = min(n_units, len(units)) // 2
    heaviest = sorted(units, key=own_bytes)[len(units) - half :]
    spread = [units[nth * len(units) // half] for nth in range(half)]
    chosen = [path.relative_to(site).as_posix() for path in (*heaviest, *spread)]
    one_of_each = {
        "network": "index.html",
        "tour": "tour.html",
        "layer": f"{largest}/index.html",
        "find": "find.html",
    }
    return {**{kind: [path] for kind, path in one_of_each.items()}, "unit": chosen}


def own_bytes(page: Path) -> int:
    """Of the pictures on a unit's page that are in its own layer's folder."""
    names = re.findall(r'(?:src|href)="([a-z0-9-]+\.webp)"', page.read_text(encoding="utf-8"))
    return sum((page.parent / name).stat().st_size for name in set(names))


def sizes_kb(browser: Any, address: str, path: str, screen: tuple[int, int]) -> tuple[float, float]:
    """What a page loads, and its own HTML."""
    width, height = screen
    with Visit(browser, address, viewport={"width": width, "height": height}) as visit:
        visit.open(path).wait_for_load_state("networkidle")
        return sum(visit.sizes.values()) / 1000, visit.sizes[path] / 1000


def main(site: Path, n_units: int = 100) -> int:
    """Print medians and maxima; the exit code says whether all pages keep to what they may."""
    over = False
    with serve(site) as address, launch() as browser:
        for screen in SCREENS:
            print("{} x {}".format(*screen))
            for kind, paths in pages_of(site, n_units).items():
                bar = tqdm(paths, desc=kind, unit=" pages", leave=False)
                found = [(*sizes_kb(browser, address, path, screen), path) for path in bar]
                rows = {kind: [(whole, path) for whole, _, path in found]}
                if kind == "unit":
                    rows["HTML of a unit"] = [(own, path) for _, own, path in found]
                for name, sizes in rows.items():
                    largest, path = max(sizes)
                    median = statistics.median(size for size, _ in sizes)
                    over |= largest > BUDGETS_KB[name]
                    print(
                        f"  {name:16}{median:7.1f} KB, at most {largest:.1f} ({path})", flush=True
                    )
    return int(over)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *map(int, sys.argv[2:])))
