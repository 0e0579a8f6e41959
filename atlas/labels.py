"""Class names given by the user: one per line, or JSON."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from atlas.errors import SpecError
from atlas.units import NetworkFacts


def with_labels(facts: NetworkFacts, path: Path | None) -> NetworkFacts:
    """The same network with the labels of a file, if one is given."""
    if path is None:
        return facts
    labels = read_labels(path, len(facts.labels))
    return dataclasses.replace(facts, labels=labels, labels_source=path.name)


def read_labels(path: Path, n_classes: int) -> tuple[str, ...]:
    """Read one label per class.

    The file holds one label per line, a JSON list, or a JSON dict from index to label. Where a
    label is itself a list (`["n01440764", "tench"]`), its last item is taken.

    Raises:
        SpecError: the file cannot be read, or has not exactly `n_classes` labels.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(
            f"cannot read the labels {path}: {getattr(error, 'strerror', None) or error}; "
            "give a UTF-8 text file"
        ) from error
    labels = _parse(text, path)
    if len(labels) != n_classes:
        raise SpecError(
            f"{path} has {len(labels)} labels, the weights have {n_classes} classes; "
            "give one label per class, in the order of the classes"
        )
    return labels


def _parse(text: str, path: Path) -> tuple[str, ...]:
    if not text.lstrip().startswith(("[", "{")):
        return tuple(line.strip() for line in text.splitlines() if line.strip())
    try:
        data = json.loads(text)
        if isinstance(data, dict):
            data = [data[str(index)] for index in range(len(data))]
    except KeyError as error:
        raise SpecError(
            f"cannot read the labels {path}: no key {error} in it; give one for each of 0, 1, ..."
        ) from error
    except json.JSONDecodeError as error:
        raise SpecError(
            f"cannot read the labels {path}: {error}; give a JSON list, or a dict from 0, 1, ..."
        ) from error
    return tuple(_label(item) for item in data)


def _label(item: Any) -> str:
    return str(item[-1] if isinstance(item, list) and item else item).strip()
