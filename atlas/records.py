"""Typed numbers of artifacts: the same type where they are measured and where they are shown.

A record is a frozen dataclass. Its fields are declared with the functions below, which say how a
field is published: `value` once, `per_unit` as a list with an item for each unit of the layer,
`axis` as a list that per-unit numbers index or are measured along, `internal` not at all. A field's
name in JSON may contain `{score}`, which stands for the layer's score: "z" or "logit".
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import MISSING
from typing import Any, Literal, NamedTuple, TypeVar, cast

from atlas.canonical import canonical_json
from atlas.units import ScoreName

Publication = Literal["value", "per_unit", "axis", "internal"]
RecordType = TypeVar("RecordType")


class FieldInfo(NamedTuple):
    """How one field of a record is published."""

    attribute: str
    json_name: str  # with `{score}` in it where the name depends on the layer's score
    publication: Publication
    about: str
    default: Any


def _metadata(record_type: Any, field: dataclasses.Field[Any]) -> Mapping[str, Any]:
    if "publication" not in field.metadata:
        raise TypeError(
            f"{record_type.__name__}.{field.name} is declared without value(), per_unit(), axis() "
            "or internal()"
        )
    return field.metadata


def value(about: str, json_name: str = "", default: Any = MISSING) -> Any:
    """A field with one value for the artifact, or for the whole layer."""
    return _field("value", about, json_name, default)


def per_unit(about: str, json_name: str = "", default: Any = MISSING) -> Any:
    """A field with one item for each unit of the layer, in order."""
    return _field("per_unit", about, json_name, default)


def axis(about: str, json_name: str = "", default: Any = MISSING) -> Any:
    """A field with a list that per-unit numbers index or are measured along."""
    return _field("axis", about, json_name, default)


def internal(about: str, json_name: str = "", default: Any = MISSING) -> Any:
    """A field that is not published and only used to make other artifacts."""
    return _field("internal", about, json_name, default)


def _field(publication: Publication, about: str, json_name: str, default: Any) -> Any:
    metadata = {"publication": publication, "about": about, "json_name": json_name}
    if default is MISSING:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def fields_of(record_type: Any) -> tuple[FieldInfo, ...]:
    """The fields of a record type."""
    return _fields_of(record_type)


@functools.cache
def _fields_of(record_type: Any) -> tuple[FieldInfo, ...]:
    return tuple(
        FieldInfo(
            each.name,
            _metadata(record_type, each)["json_name"] or each.name,
            each.metadata["publication"],
            each.metadata["about"],
            each.default,
        )
        for each in dataclasses.fields(record_type)
    )


def to_json(record: Any, score: ScoreName) -> str:
    """A record as canonical JSON; fields at their default are left out."""
    return canonical_json(to_numbers(record, score))


def to_numbers(record: Any, score: ScoreName) -> dict[str, Any]:
    """A record as JSON-ready numbers by name; fields at their default are left out."""
    return {
        info.json_name.format(score=score): content
        for info, content in _contents(record)
        if info.default is MISSING or content != info.default
    }


def from_json(record_type: type[RecordType], text: str, score: ScoreName) -> RecordType:
    """A record as `to_json` wrote it; names that the type does not have are ignored.

    Raises:
        TypeError, ValueError: a required field is missing, or the text is not JSON.
    """
    numbers = json.loads(text)
    attributes = _attributes(cast(Any, record_type), score)
    fields = {attributes[name]: each for name, each in numbers.items() if name in attributes}
    return record_type(**fields)


def published(record: Any, score: ScoreName, *publications: Publication) -> dict[str, Any]:
    """The numbers of a record with one of these publications, by their name in JSON."""
    return {
        info.json_name.format(score=score): content
        for info, content in _contents(record)
        if info.publication in publications and (info.default is MISSING or content != info.default)
    }


def check(record: Any, record_type: type, n_units: int) -> None:
    """Refuse a record that the pages could not show.

    Args:
        record: what a kind has measured.
        record_type: the type that the kind promises.
        n_units: of the layer.

    Raises:
        TypeError: it is of another type.
        ValueError: a field for every unit has another number of items.
    """
    if type(record) is not record_type:
        raise TypeError(f"expected a {record_type.__name__}, got {type(record).__name__}")
    for info, content in _contents(record):
        if info.publication == "per_unit" and content is not None and len(content) != n_units:
            raise ValueError(
                f"{record_type.__name__}.{info.attribute} has {len(content)} items for "
                f"{n_units} units"
            )


def has_units(record_type: type) -> bool:
    """Whether records of this type hold numbers for each unit of a layer."""
    return _has_units(cast(Any, record_type))


@functools.cache
def _has_units(record_type: Any) -> bool:
    return any(info.publication == "per_unit" for info in fields_of(record_type))


def _contents(record: Any) -> Iterator[tuple[FieldInfo, Any]]:
    return ((info, getattr(record, info.attribute)) for info in fields_of(type(record)))


@functools.cache
def _attributes(record_type: Any, score: ScoreName) -> Mapping[str, str]:
    """The names of the fields by their name in JSON."""
    return {info.json_name.format(score=score): info.attribute for info in fields_of(record_type)}
