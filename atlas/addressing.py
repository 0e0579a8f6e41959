"""Content addresses: equal for equal weights, unit, kind, recipe and sources, else different."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Protocol

from atlas.canonical import canonical_json
from atlas.units import Unit


class ArtifactSpec(Protocol):
    """The complete recipe of one kind of artifact: a frozen dataclass of plain data.

    Together with the weights and the unit it decides every pixel and number. Batch size, device
    and paths are not in it, so they never make an artifact stale.
    """

    name: ClassVar[str]
    version: ClassVar[int]  # raised whenever the same fields give another result


def artifact_keys(
    weights_sha256: str,
    units: Sequence[Unit],
    kind: str,
    spec: ArtifactSpec,
    sources: Sequence[str] = (),
) -> tuple[str, ...]:
    """The addresses of artifacts of one kind: 64 hex digits for each unit.

    Args:
        weights_sha256: digest of the weights file.
        units: the units of the artifacts.
        kind: name of the kind of artifact.
        spec: the complete recipe.
        sources: addresses of the artifacts that each of these is made from.
    """
    shared: dict[str, Any] = {"weights": weights_sha256, "kind": kind, "recipe": describe(spec)}
    if sources:
        shared["sources"] = digest_of_keys(sources)
    beginning = hashlib.sha256(canonical_json(shared).encode())
    keys = []
    for unit in units:
        digest = beginning.copy()
        digest.update(unit.id.encode())
        keys.append(digest.hexdigest())
    return tuple(keys)


def digest_of_keys(keys: Iterable[str]) -> str:
    """One digest for many addresses, in their order."""
    return hashlib.sha256("".join(keys).encode()).hexdigest()


def describe(spec: Any) -> dict[str, Any]:
    """A recipe as plain data, with its name and version, and those of recipes inside it."""
    fields = {field.name: _plain(getattr(spec, field.name)) for field in dataclasses.fields(spec)}
    return {"name": spec.name, "version": spec.version, **fields}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_plain(each) for each in value)
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    return describe(value) if hasattr(value, "version") else _without_version(value)


def _without_version(value: Any) -> Any:
    """What `dataclasses.asdict` gives, without the deep copies that take most of its time."""
    if isinstance(value, tuple):
        return tuple(_without_version(each) for each in value)
    if not dataclasses.is_dataclass(value):
        return value
    return {
        field.name: _without_version(getattr(value, field.name))
        for field in dataclasses.fields(value)
    }
