"""Finds the units that a selection names by ranges, layer names, globs and class labels."""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Iterable, Sequence

from atlas.asked import Selection
from atlas.errors import SpecError
from atlas.text import displayable
from atlas.units import Layer, NetworkFacts, Unit

MAX_DIGITS = 18  # Python refuses to read numbers of thousands of digits


def parse_ranges(text: str) -> tuple[range, ...]:
    """`0-15,40` as ranges, both ends included.

    Raises:
        SpecError: not a list of numbers and ranges.
    """
    ranges = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        is_range = first.isdecimal() and (last.isdecimal() or not dash)
        if not is_range or max(len(first), len(last)) > MAX_DIGITS:
            raise SpecError(f"cannot read units {text[:80]!r}; write them like 0-15,40")
        start, stop = int(first), int(last if dash else first)
        if stop < start:
            raise SpecError(f"{part.strip()!r} runs backwards; write {stop}-{start}")
        ranges.append(range(start, stop + 1))
    return tuple(ranges)


def select_units(selection: Selection, facts: NetworkFacts) -> tuple[Unit, ...]:
    """The units that a selection names, in forward order.

    Classes choose inside the classifier; layers and units choose everywhere else, and in the
    classifier too when no class is named.

    Raises:
        SpecError: an unknown layer or class (the closest are suggested), a unit out of range.
    """
    if selection.classes and facts.classifier is None:
        raise SpecError(f"{facts.name} has no classes to choose from; leave --classes out")
    layers = _select_layers(selection, facts)
    _refuse_missing(selection.units, layers)
    chosen: list[Unit] = []
    for layer in facts.layers:
        if layer.is_classifier and selection.classes:
            chosen += [layer.unit(index) for index in _select_classes(selection.classes, facts)]
        elif layer in layers:
            chosen += [layer.unit(index) for index in _select_indices(selection.units, layer)]
    return tuple(chosen)


def units_named(text: str, facts: NetworkFacts) -> tuple[Unit, ...]:
    """The units that a text means: "conv1:3", "conv1:0-3,8", a layer, or a class.

    Raises:
        SpecError: nothing is called so (the closest are suggested), or a unit is out of range.
    """
    layers, colon, ranges = text.rpartition(":")
    if colon and _are_layers(layers, facts):
        return select_units(Selection(layers=(layers,), units=parse_ranges(ranges)), facts)
    if _are_layers(text, facts):
        return select_units(Selection(layers=(text,)), facts)
    return _classes_named(text, facts)


def unit_named(text: str, facts: NetworkFacts) -> Unit:
    """The one unit that a text means.

    Raises:
        SpecError: it means none, or several.
    """
    units = units_named(text, facts)
    if len(units) != 1:
        raise SpecError(
            f"{displayable(text)!r} means {len(units):,} units; give one, such as {units[0].id}"
        )
    return units[0]


def name_of(unit: Unit, facts: NetworkFacts) -> str:
    """`layer3.0.conv2:117`, and of a class `zebra (fc:340)`."""
    is_class = facts.layer(unit.layer).is_classifier and not unit.is_whole
    return f"{facts.labels[unit.index]} ({unit.id})" if is_class else unit.id


def select_layers(patterns: Sequence[str], facts: NetworkFacts) -> tuple[Layer, ...]:
    """The layers that names and globs mean, in forward order; all of them if there are none.

    Raises:
        SpecError: an unknown layer; the closest are suggested.
    """
    return _select_layers(Selection(layers=tuple(patterns)), facts)


def _are_layers(pattern: str, facts: NetworkFacts) -> bool:
    try:
        return bool(select_units(Selection(layers=(pattern,)), facts))
    except SpecError:
        return False


def _classes_named(text: str, facts: NetworkFacts) -> tuple[Unit, ...]:
    """The classes that a text means, which has no layer's name in it."""
    try:
        classes = select_units(Selection(classes=(text,)), facts)
    except SpecError:
        classes = ()
    if not classes:
        names = [*(layer.name for layer in facts.layers), *facts.labels]
        closest = ", ".join(difflib.get_close_matches(text, names, cutoff=0.0))
        raise SpecError(f"no layer, unit or class {text!r} in {facts.name}; closest: {closest}")
    return classes


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
                f"no layer {pattern!r} in {facts.name}{_without_classes(facts)}; "
                f"closest: {_closest(pattern, names)}"
            )
        wanted.update(matches)
    return tuple(layer for layer in facts.layers if layer.name in wanted)


def _without_classes(facts: NetworkFacts) -> str:
    return ", whose weights have no classifier" if facts.classifier is None else ""


def _select_indices(ranges: Sequence[range], layer: Layer) -> Iterable[int]:
    if not ranges:
        return range(layer.n_units)
    there = range(layer.n_units)
    return sorted({index for part in ranges for index in there[part.start : part.stop]})


def _refuse_missing(ranges: Sequence[range], layers: Sequence[Layer]) -> None:
    """Refuse units that not one of the layers has; smaller layers give those that they have."""
    last = max((part[-1] for part in ranges), default=-1)
    largest = max(layers, key=lambda layer: layer.n_units, default=None)
    if largest and last >= largest.n_units:
        raise SpecError(
            f"unit {last} is out of range for {largest.name}, which has "
            f"{largest.n_units} units: 0-{largest.n_units - 1}"
        )


def _select_classes(texts: Sequence[str], facts: NetworkFacts) -> list[int]:
    names = _ClassNames(facts.labels)
    return sorted({index for text in texts for index in _classes_in(text, names)})


class _ClassNames:
    """The classes by every name that they go by: label, label in lower case, and synonyms.

    The label "tench, Tinca tinca" lists two synonyms, so its class is also "tench".
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = labels
        self._by_label = _indices_by_name([label] for label in labels)
        self._by_folded_label = _indices_by_name([label.lower()] for label in labels)
        self._by_synonym = _indices_by_name(_parts(label.lower()) for label in labels)

    def matches(self, text: str) -> Sequence[int]:
        """The classes that a name, a number or a range of numbers stands for; none if unknown."""
        folded = text.lower()
        named = self._by_label.get(text) or self._by_folded_label.get(folded)
        named = named or self._by_synonym.get(folded)
        if named or not re.fullmatch(r"\d+(-\d+)?", text, re.ASCII):
            return named or ()
        (numbers,) = parse_ranges(text)
        return numbers if numbers[-1] < len(self.labels) else ()


def _indices_by_name(names_of_classes: Iterable[Iterable[str]]) -> dict[str, list[int]]:
    indices: dict[str, list[int]] = {}
    for index, names in enumerate(names_of_classes):
        for name in names:
            indices.setdefault(name, []).append(index)
    return indices


def _classes_in(text: str, names: _ClassNames) -> list[int]:
    """The classes that a list names; a label may itself have commas in it."""
    parts = _parts(text)
    chosen: list[int] = []
    while parts:
        for n_parts in range(len(parts), 0, -1):
            if matches := names.matches(", ".join(parts[:n_parts])):
                chosen += matches
                del parts[:n_parts]
                break
        else:
            labels = names.labels
            raise SpecError(
                f"no class {parts[0]!r} among the {len(labels)} labels; "
                f"closest: {_closest(parts[0], labels)}"
            )
    return chosen


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _closest(name: str, names: Sequence[str]) -> str:
    by_folded = {known.lower(): known for known in names}
    close = difflib.get_close_matches(name.lower(), by_folded, n=3, cutoff=0.0)
    return ", ".join(by_folded[folded] for folded in close)
