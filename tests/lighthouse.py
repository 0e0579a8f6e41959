#!/usr/bin/env python3
"""Ask Lighthouse for the scores of pages: python tests/lighthouse.py SITE PAGE...

SITE is a finished site, PAGE a path in it; left out, the network, its largest layer and a unit of
that. Wants Chromium and npm, which fetches Lighthouse; ends with an error where a score is below
95. On a busy machine the performance of large pages comes out too low.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from host import serve

CATEGORIES = ("performance", "accessibility", "best-practices")
WANTED = 95


def typical_pages(site: Path) -> tuple[str, ...]:
    """The network, its largest layer, and a unit of that."""
    layers = json.loads((site / "manifest.json").read_bytes())["layers"]
    largest = max(layers, key=lambda layer: layer["n_units"])["name"]
    return "index.html", f"{largest}/index.html", f"{largest}/0007.html"


def scores(address: str) -> dict[str, int]:
    """What Lighthouse gives a page, out of 100, as seen by a phone on a slow network."""
    command = ["npx", "--yes", "lighthouse", address, "--quiet", "--output=json"]
    command += [f"--only-categories={','.join(CATEGORIES)}"]
    command += ["--chrome-flags=--headless --no-sandbox"]
    chromium = {"CHROME_PATH": shutil.which("chromium") or os.environ.get("CHROME_PATH", "")}
    done = subprocess.run(command, env=os.environ | chromium, stdout=subprocess.PIPE, check=True)
    report = json.loads(done.stdout)
    return {name: round(100 * report["categories"][name]["score"]) for name in CATEGORIES}


def main(site: Path, pages: tuple[str, ...]) -> int:
    """Print the scores of pages; the exit code says whether all are high enough."""
    lowest = 100
    with serve(site) as address:
        for page in pages or typical_pages(site):
            found = scores(f"{address}/{page}")
            lowest = min(lowest, *found.values())
            print(page, *(f"{name} {score}" for name, score in found.items()), sep="  ")
    return int(lowest < WANTED)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), tuple(sys.argv[2:])))
