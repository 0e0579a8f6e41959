"""The numbers by which a layer's units can be sorted and filtered."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from atlas.kinds.kind import SELECTIVE, Column, Kind
from atlas.records import has_units
from atlas.site.contents import Contents
from atlas.units import Layer, Unit
from atlas.vocabulary import score_of


class _FilledColumn(NamedTuple):
    """A column in which at least one unit of the layer has a number."""

    name: str
    values: Sequence[float | None]  # of every unit of the layer


def columns_of(contents: Contents, layer: Layer) -> tuple[tuple[str, ...], Callable[[Unit], str]]:
    """What a layer's units can be sorted by, and each unit's values.

    Returns:
        The columns' names, each followed by `|` and its unit of measurement if it has one; and a
        function from a unit to its values in that order, separated by spaces, `-` if missing.
    """
    columns = list(_filled_columns(contents, layer))

    def values(unit: Unit) -> str:
        row = (column.values[unit.index] for column in columns)
        return " ".join("-" if value is None else f"{value:.4g}" for value in row)

    return tuple(column.name for column in columns), values


def _filled_columns(contents: Contents, layer: Layer) -> Iterator[_FilledColumn]:
    score = score_of(layer)
    unit = score.suffix.strip()
    ordered = [(kind, column) for kind in contents.kinds for column in kind.columns]
    ordered.sort(key=lambda pair: pair[0].order if pair[1].order is None else pair[1].order)
    for kind, column in ordered:
        values = _values(contents, layer, kind, column)
        if any(value is not None for value in values):
            name = f"{column.name}|{column.unit}".format(noun=score.noun, unit=unit)
            yield _FilledColumn(name.rstrip("|"), values)


def _values(
    contents: Contents, layer: Layer, kind: Kind[Any], column: Column
) -> Sequence[float | None]:
    """A column's value for each unit; empty if it was not measured."""
    if not has_units(kind.record):
        records = [contents.record(unit, kind) for unit in layer.units]
        return [getattr(record, column.field) if record else None for record in records]
    record = contents.layer_record(layer, kind)
    values: Sequence[float | None] = (getattr(record, column.field) if record else None) or ()
    if not column.selective:
        return values
    selectivity = (getattr(record, column.selective) if record else None) or ()
    return [
        value if degree is not None and degree >= SELECTIVE else None
        for value, degree in zip(values, selectivity, strict=True)
    ]
