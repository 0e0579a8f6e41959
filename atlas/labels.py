"""Names of classes: labels that a user gives for a network, and names for folders of images."""

from __future__ import annotations

import codecs
import dataclasses
import json
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atlas.errors import SpecError
from atlas.files import open_regular
from atlas.text import displayable
from atlas.units import NetworkFacts

WORDNET_ID = re.compile(r"n\d{8}", re.ASCII)
MAX_LABELS_BYTES = 20_000_000  # 200 for each of the most classes that a network may have
MAX_LABEL_LENGTH = 200  # the longest of ImageNet has 121 characters
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class ClassLabels:
    """What the classes of a network are called."""

    names: tuple[str, ...]  # one per class, by index
    source: str  # where the names come from, shown on the about page
    wordnet_ids: tuple[str, ...] = ()  # one per class, or empty if they are not known


def with_labels(facts: NetworkFacts, path: Path | None) -> NetworkFacts:
    """The network's facts with the labels of a file, if one is given.

    Raises:
        SpecError: the file cannot be read or does not have one label per class, or the network
            has no classes.
    """
    if path is None:
        return facts
    if facts.classifier is None:
        raise SpecError(f"{facts.name} has no classes that --labels could name; leave it out")
    labels = read_labels(path, len(facts.labels))
    return dataclasses.replace(
        facts,
        labels=labels.names,
        labels_source=labels.source,
        label_ids=labels.wordnet_ids,
    )


def read_labels(path: Path, n_classes: int) -> ClassLabels:
    """Read one label per class.

    The file holds one label per line, a JSON list, or a JSON dict from index to label. Where a
    label is itself a list (`["n01440764", "tench"]`), its last item is taken, and its first if
    that is a WordNet id. Labels are cleaned of what cannot be shown.

    Raises:
        SpecError: the file cannot be read, or has not exactly `n_classes` labels with text.
    """
    items = _parse(_text(path), path)
    if len(items) != n_classes:
        raise SpecError(
            f"{path} has {len(items)} labels, the weights have {n_classes} classes; "
            "give one label per class, in the order of the classes"
        )
    names = tuple(_label(item) for item in items)
    if None in names:
        raise SpecError(
            f"cannot read the labels {path}: the label of class {names.index(None)} is empty or "
            "no text; give every class a name"
        )
    ids = tuple(wordnet_id for wordnet_id in map(_wordnet_id, items) if wordnet_id)
    return ClassLabels(
        names=tuple(name for name in names if name),
        source=displayable(path.name),
        wordnet_ids=ids if len(ids) == len(items) else (),
    )


def class_names(
    folders: Sequence[str], labels: Sequence[str], label_ids: Sequence[str] = ()
) -> tuple[str, ...]:
    """Names for the classes of an image set, one per folder.

    A folder that is named after a class of the network, by its label, by the first of the label's
    synonyms or by its WordNet id, gets the network's label; any other keeps its own name. Upper
    and lower case are the same, and so are underscores and spaces. Folders are not matched by
    their position. A synonym that is the first in several labels matches none of them.
    """
    by_id = {wordnet_id.lower(): labels[index] for index, wordnet_id in enumerate(label_ids)}
    by_label = _unambiguous(labels, _match_key)
    by_synonym = _unambiguous(labels, lambda label: _match_key(label.partition(",")[0]))
    names = {**by_synonym, **by_label, **by_id}
    return tuple(names.get(_match_key(folder), folder) for folder in folders)


def _unambiguous(labels: Sequence[str], key_of: Callable[[str], str]) -> Mapping[str, str]:
    """Labels by their keys, without keys that several labels share."""
    by_key: dict[str, set[str]] = defaultdict(set)
    for label in labels:
        by_key[key_of(label)].add(label)
    return {key: matches.pop() for key, matches in by_key.items() if len(matches) == 1}


def _match_key(name: str) -> str:
    return name.replace("_", " ").strip().lower()


def _text(path: Path) -> str:
    """The text of a file in UTF-8, or in UTF-16 if it begins with its mark."""
    try:
        with open_regular(path, MAX_LABELS_BYTES) as file:
            data = file.read(MAX_LABELS_BYTES + 1)
        return data.decode("utf-16" if data.startswith(_UTF16_MARKS) else "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(
            f"cannot read the labels {path}: {getattr(error, 'strerror', None) or error}; "
            "give a UTF-8 text file"
        ) from error


def _parse(text: str, path: Path) -> tuple[Any, ...]:
    if not text.lstrip().startswith(("[", "{")):
        return tuple(line for line in re.split("\r\n?|\n", text) if line.strip())
    try:
        data = json.loads(text)
        if isinstance(data, dict):
            data = [data[str(index)] for index in range(len(data))]
    except KeyError as error:
        raise SpecError(
            f"cannot read the labels {path}: no key {error} in it; give one for each of 0, 1, ..."
        ) from error
    except (ValueError, RecursionError) as error:  # no JSON, a number of 5,000 digits, too deep
        raise SpecError(
            f"cannot read the labels {path}: {_first_sentence(error)}; "
            "give a JSON list, or a dict from 0, 1, ..."
        ) from error
    return tuple(data)


def _first_sentence(error: Exception) -> str:
    return str(error).partition(";")[0]


def _label(item: Any) -> str | None:
    """The text of a label, fit to be shown; None if it has none."""
    text = item[-1] if isinstance(item, list) and item else item
    is_text = isinstance(text, str | int | float) and not isinstance(text, bool)
    return (displayable(str(text), MAX_LABEL_LENGTH) or None) if is_text else None


def _wordnet_id(item: Any) -> str | None:
    """The WordNet id in a label that is a list; None if there is none."""
    if not isinstance(item, list) or len(item) < 2:
        return None
    first = item[0].strip() if isinstance(item[0], str) else ""
    return first if WORDNET_ID.fullmatch(first) else None
