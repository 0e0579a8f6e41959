"""Names of classes: labels that a user gives for a network, and names for folders of images."""

from __future__ import annotations

import codecs
import dataclasses
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atlas.errors import SpecError
from atlas.files import open_regular
from atlas.label_files import Labels, LabelsError, labels_in, labels_in_data
from atlas.text import displayable
from atlas.units import NetworkFacts
from atlas.wordnet import imagenet_synsets

MAX_LABELS_BYTES = 20_000_000  # 200 for each of the most classes that a network may have
MAX_LABEL_LENGTH = 200  # the longest of ImageNet has 121 characters
_NUMBERED = "none given: numbered"
_ASSUMED = "assumed to be "
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class ClassLabels:
    """What the classes of a network are called."""

    names: tuple[str, ...]  # one per class, by index
    source: str  # where the names come from, shown on the about page
    wordnet_ids: tuple[str, ...] = ()  # one per class, or empty if they are not known

    @classmethod
    def numbered(cls, n_classes: int) -> ClassLabels:
        """Names of classes of which nothing is known."""
        return cls(tuple(f"class {index}" for index in range(n_classes)), _NUMBERED)

    def assumed(self) -> ClassLabels:
        """The same names, for a network that only has as many classes."""
        source = f"{_ASSUMED}{self.source}; --labels gives others"
        return ClassLabels(self.names, source, self.wordnet_ids)


def are_known(facts: NetworkFacts) -> bool:
    """Whether labels were published with a network's weights or given for them."""
    return not facts.labels_source.startswith((_NUMBERED, _ASSUMED))


def with_labels(
    facts: NetworkFacts, given: Path | Sequence[Any] | Mapping[Any, Any] | None
) -> NetworkFacts:
    """The network's facts with the labels of a file, or in a list or dict, if any are given.

    Raises:
        SpecError: the file cannot be read, there is not one label per class, or the network has no
            classes.
    """
    if given is None:
        return facts
    if facts.classifier is None:
        raise SpecError(
            f"{facts.name} with {facts.weights} has no classes that labels could name; give none"
        )
    n_classes = len(facts.labels)
    labels = (
        read_labels(given, n_classes) if isinstance(given, Path) else labels_of(given, n_classes)
    )
    return dataclasses.replace(
        facts,
        labels=labels.names,
        labels_source=labels.source,
        label_ids=labels.wordnet_ids,
    )


def read_labels(path: Path, n_classes: int) -> ClassLabels:
    """Read one label per class.

    The file may be text, JSON, a Python literal or a table, with numbers of classes and WordNet ids
    or without: see `atlas.label_files`. Classes of which it has only WordNet ids are called as
    ImageNet calls them. Labels are cleaned of what cannot be shown.

    Raises:
        SpecError: the file cannot be read, or has not exactly `n_classes` labels with text.
    """
    return _checked(lambda: labels_in(_text(path), n_classes), n_classes, path.name, str(path))


def labels_of(data: Sequence[Any] | Mapping[Any, Any], n_classes: int) -> ClassLabels:
    """Labels in a list, or in a dict by numbers of classes, in all forms that a file may have.

    Raises:
        SpecError: there are not exactly `n_classes` labels with text.
    """
    plain = dict(data) if isinstance(data, Mapping) else list(data)
    return _checked(
        lambda: labels_in_data(plain, n_classes), n_classes, "given as a list", "the list"
    )


def _checked(read: Callable[[], Labels], n_classes: int, source: str, where: str) -> ClassLabels:
    """The labels that are read, if they have text and there is one for each class.

    Args:
        read: reads them.
        n_classes: the number of classes.
        source: where they come from, for pages.
        where: the same for messages.
    """
    try:
        items = read()
    except LabelsError as error:
        raise SpecError(f"cannot read the labels of {where}: {error}") from error
    if len(items) != n_classes:
        raise SpecError(
            f"{where} has {len(items)} label{'s' if len(items) != 1 else ''}, the weights have "
            f"{n_classes} class{'es' if n_classes != 1 else ''}; "
            "give one label per class, in the order of the classes"
        )
    ids = tuple(item.wordnet_id.strip() for item in items)
    names = tuple(_shown(item.name) for item in items)
    if None in names:
        raise SpecError(
            f"cannot read the labels of {where}: the label of class {names.index(None)} is empty "
            "or no text; give every class a name"
        )
    if names == ids:
        known = _names_of_ids()
        names = tuple(known.get(wordnet_id, wordnet_id) for wordnet_id in ids)
    return ClassLabels(
        names=tuple(name for name in names if name),
        source=displayable(source),
        wordnet_ids=ids if all(ids) else (),
    )


def _names_of_ids() -> dict[str, str]:
    """Names by WordNet ids: ImageNet's of its classes, WordNet's of what these are kinds of."""
    from atlas.families import find_family  # which imports this module

    labels = find_family("").labels()
    of_classes = dict(zip(labels.wordnet_ids, labels.names, strict=True))
    return {each.id: each.lemmas[0] for each in imagenet_synsets().values()} | of_classes


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
    by_label = _unambiguous(labels, match_key)
    by_synonym = _unambiguous(labels, first_synonym)
    names = {**by_synonym, **by_label, **by_id}
    return tuple(names.get(match_key(folder), folder) for folder in folders)


def _unambiguous(labels: Sequence[str], key_of: Callable[[str], str]) -> Mapping[str, str]:
    """Labels by their keys, without keys that several labels share."""
    by_key: dict[str, set[str]] = defaultdict(set)
    for label in labels:
        by_key[key_of(label)].add(label)
    return {key: matches.pop() for key, matches in by_key.items() if len(matches) == 1}


def match_key(name: str) -> str:
    """What is equal for names that mean the same: without case, `_` is a space."""
    return name.replace("_", " ").strip().lower()


def first_synonym(label: str) -> str:
    """The same of the first of a label's synonyms: "tench" of "tench, Tinca tinca"."""
    return match_key(label.partition(",")[0])


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


def _shown(name: Any) -> str | None:
    """The text of a name, fit to be shown; None if it has none."""
    is_text = isinstance(name, str | int | float) and not isinstance(name, bool)
    return (displayable(str(name), MAX_LABEL_LENGTH) or None) if is_text else None
