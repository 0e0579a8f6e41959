"""Which files of the site the whole photographs are."""

from __future__ import annotations

from collections.abc import Mapping

from atlas.kinds.photographs import KIND
from atlas.site.contents import Contents


def numbers(contents: Contents) -> Mapping[str, int]:
    """By name, the number of each whole photograph among the files of the site."""
    record = contents.layer_record(contents.facts.layers[0], KIND)
    return {name: number for number, name in enumerate(record.photographs)} if record else {}
