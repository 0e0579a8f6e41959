"""From what was asked to units: ranges, layer names and globs, class labels."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Callable, Iterable, Mapping, Sequence

from atlas.asked import Selection
from atlas.errors import SpecError
from atlas.units import Layer, NetworkFacts, Unit


def parse_ranges(text: str) -> tuple[range, ...]:
    """`0-15,40` as ranges, both ends included.

    Raises:
        SpecError: not a list of numbers and ranges.
    """
    ranges = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise SpecError(f"cannot read units {text!r}; write them like 0-15,40")
        start, stop = int(first), int(last if dash else first)
        if stop < start:
            raise SpecError(f"units {part.strip()!r} run backwards; write {stop}-{start}")
        ranges.append(range(start, stop + 1))
    return tuple(ranges)


def select_units(selection: Selection, facts: NetworkFacts) -> tuple[Unit, ...]:
    """The units that a selection names, in forward order.

    Classes choose inside the classifier; layers and units choose everywhere else, and in the
    classifier too when no class is named.

    Raises:
        SpecError: an unknown layer or class (the closest are suggested), a unit out of range.
    """
    layers = _select_layers(selection, facts)
    chosen: list[Unit] = []
    for layer in facts.layers:
        if layer.is_classifier and selection.classes:
            chosen += [layer.unit(index) for index in _select_classes(selection.classes, facts)]
        elif layer in layers:
            chosen += [layer.unit(index) for index in _select_indices(selection.units, layer)]
    return tuple(chosen)


def _select_layers(selection: Selection, facts: NetworkFacts) -> tuple[Layer, ...]:
    if not selection.layers:
        only_classes = bool(selection.classes) and not selection.units
        return () if only_classes else facts.layers
    names = [layer.name for layer in facts.layers]
    wanted: set[str] = set()
    for pattern in selection.layers:
        # A module's name stands for all layers inside it.
        matches = [*fnmatch.filter(names, pattern), *fnmatch.filter(names, f"{pattern}.*")]
        if not matches:
            raise SpecError(
                f"no layer {pattern!r} in {facts.name}; closest: {_closest(pattern, names)}"
            )
        wanted.update(matches)
    return tuple(layer for layer in facts.layers if layer.name in wanted)


def _select_indices(ranges: Sequence[range], layer: Layer) -> Iterable[int]:
    if not ranges:
        return range(layer.n_units)
    last = max(part[-1] for part in ranges)
    if last >= layer.n_units:
        raise SpecError(
            f"unit {last} is out of range for {layer.name}, which has "
            f"{layer.n_units} units: 0-{layer.n_units - 1}"
        )
    return sorted({index for part in ranges for index in part})


def _select_classes(texts: Sequence[str], facts: NetworkFacts) -> list[int]:
    names = _class_names(facts.labels)
    return sorted({index for text in texts for index in _classes_in(text, names, facts)})


def _class_names(labels: Sequence[str]) -> dict[str, list[int]]:
    """The classes by every name they can be called, best matches first.

    A class goes by its label, by its label in lower case, and by each of the synonyms that its
    label lists: "tench, Tinca tinca" is also "tench".
    """
    spellings: list[Callable[[str], Iterable[str]]] = [
        lambda label: [label],
        lambda label: [label.lower()],
        lambda label: _parts(label.lower()),
    ]
    names: dict[str, list[int]] = {}
    for spelled in spellings:
        found: dict[str, list[int]] = {}
        for index, label in enumerate(labels):
            for name in spelled(label):
                found.setdefault(name, []).append(index)
        names = {**found, **names}
    return names


def _classes_in(text: str, names: Mapping[str, list[int]], facts: NetworkFacts) -> list[int]:
    """The classes that a list names; a label may itself have commas in it."""
    parts = _parts(text)
    chosen: list[int] = []
    while parts:
        for n_parts in range(len(parts), 0, -1):
            if matches := _matches(", ".join(parts[:n_parts]), names, len(facts.labels)):
                chosen += matches
                del parts[:n_parts]
                break
        else:
            closest = _closest(parts[0], facts.labels)
            raise SpecError(
                f"no class {parts[0]!r} among the {len(facts.labels)} labels; closest: {closest}"
            )
    return chosen


def _matches(text: str, names: Mapping[str, list[int]], n_classes: int) -> Sequence[int]:
    if matches := names.get(text) or names.get(text.lower()):
        return matches
    first, dash, last = text.partition("-")
    if not first.isdecimal() or (dash and not last.isdecimal()):
        return ()
    start, stop = int(first), int(last if dash else first)
    return range(start, stop + 1) if start <= stop < n_classes else ()


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _closest(name: str, names: Sequence[str]) -> str:
    by_folded = {known.lower(): known for known in names}
    close = difflib.get_close_matches(name.lower(), by_folded, n=3, cutoff=0.0)
    return ", ".join(by_folded[folded] for folded in close)
