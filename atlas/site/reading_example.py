"""The ten units most selective for diagonal stripes: python example.py [FOLDER OR ADDRESS]."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen


def read(atlas: str, path: str) -> Any:
    """A data file of an atlas, which is in a folder or at an address."""
    if "://" in atlas:
        with urlopen(f"{atlas.rstrip('/')}/{quote(path)}") as answer:
            return json.load(answer)
    return json.loads(Path(atlas, path).read_text(encoding="utf-8"))


def main(atlas: str = ".") -> None:
    """Print what each of the units prefers."""
    found = []
    for layer in read(atlas, "manifest.json")["layers"]:
        for unit in read(atlas, layer["units"])["units"]:
            tuning = unit["numbers"].get("tuning", {})
            angle_deg = tuning.get("orientation_deg")  # None where it prefers none
            if angle_deg is not None and abs(angle_deg % 90 - 45) <= 20:
                found.append((tuning["orientation_selectivity"], unit["id"], angle_deg))
    for selectivity, unit_id, angle_deg in sorted(found, reverse=True)[:10]:
        print(f"{unit_id}: {angle_deg:.0f} degrees, selectivity {selectivity:.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
