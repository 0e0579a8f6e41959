"""What the pages of a layer show of photographs, made once for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from atlas.kinds.natural import KIND
from atlas.kinds.natural.histograms import Counts, histograms
from atlas.labels import class_names
from atlas.site.contents import Contents
from atlas.text import displayable_name
from atlas.units import Layer, NetworkFacts


class Prepared(NamedTuple):
    """What the pages of a layer show of photographs besides its record."""

    counts: Counts | None  # of its units, None if responses were not kept
    class_names: Sequence[str]  # of the photographs: the network's labels if the folders match them


def prepare(contents: Contents) -> Mapping[str, Prepared]:
    """What is made once, by layer.

    Raises:
        SiteError, DamagedError: as for `histograms`.
    """
    counts = histograms(contents)
    names: dict[tuple[str, ...], Sequence[str]] = {}  # most layers have the same classes
    by_layer = {}
    for layer in contents.facts.layers:
        if record := contents.layer_record(layer, KIND):
            classes = tuple(record.classes)
            if classes not in names:
                names[classes] = _displayable(classes, contents.facts)
            by_layer[layer.name] = Prepared(counts.get(layer.name), names[classes])
    return by_layer


def prepared_of(contents: Contents, layer: Layer) -> Prepared:
    """What was made once for a layer whose units were shown photographs."""
    prepared: Prepared = contents.prepared[KIND.name][layer.name]
    return prepared


def _displayable(classes: Sequence[str], facts: NetworkFacts) -> tuple[str, ...]:
    names = class_names(classes, facts.labels, facts.label_ids)
    return tuple(displayable_name(name) for name in names)
