"""Gives artifacts of earlier versions their present addresses.

Caches of version 3 described the folder of photographs and its preprocessing differently in the
addresses of results. The pictures and numbers are the same, so only their keys change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace

from atlas.addressing import artifact_keys
from atlas.asked import AtlasSpec
from atlas.cache import Cache, Entry
from atlas.canonical import canonical_json
from atlas.kinds.examples import KIND as EXAMPLES
from atlas.kinds.natural import KIND as NATURAL
from atlas.units import Layer, NetworkFacts, Unit

OLD_SHARE = 7 / 8  # of a photograph's short side that version 3 cut out, for all weights


def adopt_old_photographs(cache: Cache, facts: NetworkFacts) -> None:
    """Give this network's results from photographs in a cache of version 3 their present addresses.

    Nothing changes for weights that cut photographs differently, as their pictures would differ.
    """
    old_keys = cache.old_addresses()
    preprocessing = facts.preprocessing
    same_share = preprocessing.size_px / preprocessing.resize_px == OLD_SHARE
    if not old_keys or not same_share or preprocessing.interpolation != "bilinear":
        return
    entries = cache.entries(old_keys)
    layers = {layer.name: layer for layer in facts.layers}
    new_keys: dict[str, str] = {}
    for entry in entries.values():
        if entry.kind == NATURAL.name and entry.unit in layers:
            for old, new in _readdressed(entry, layers[entry.unit], facts):
                if old in entries:
                    new_keys[old] = new
    cache.readdress(new_keys)


def _readdressed(entry: Entry, layer: Layer, facts: NetworkFacts) -> Iterator[tuple[str, str]]:
    """Old and new keys of a layer's results from a folder of photographs, examples included."""
    folder = entry.record(NATURAL.record, layer.score_name).images_sha256
    asked = replace(AtlasSpec(), images_sha256=folder)
    shared = {"folder_sha256": folder, "size_px": facts.input_size_px}
    old_fields = {**shared, "n_top": 9, "n_sampled": 512}
    natural = {"name": "natural", "version": 2, **old_fields}
    examples = {"name": "examples", "version": 1, "natural": old_fields, "side_px": 56}
    spec = NATURAL.spec(asked, layer, facts)
    (source,) = artifact_keys(facts.identity, (layer.whole,), NATURAL.name, spec)
    yield _old_key(facts, NATURAL.name, natural, layer.whole), source
    sheets = EXAMPLES.scope.units(layer, layer.units)
    spec = EXAMPLES.spec(asked, layer, facts)
    new_keys = artifact_keys(facts.identity, sheets, EXAMPLES.name, spec, (source,))
    for unit, new in zip(sheets, new_keys, strict=True):
        yield _old_key(facts, EXAMPLES.name, examples, unit), new


def _old_key(facts: NetworkFacts, kind: str, recipe: dict[str, object], unit: Unit) -> str:
    shared = {"weights": facts.identity, "kind": kind, "recipe": recipe}
    return hashlib.sha256((canonical_json(shared) + unit.id).encode()).hexdigest()
