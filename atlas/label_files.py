"""Reads class names from the files that people have them in.

Every form is recognised by what only it can be: numbers that are those of all classes, WordNet ids
in every line, as many entries as the network has classes. So a name that begins with a number or
has a comma in it is not taken apart, and a file that has none of these forms is a name per line.
"""

from __future__ import annotations

import ast
import csv
import json
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

WORDNET_ID = re.compile(r"n\d{8}", re.ASCII)
MAX_LITERAL_LENGTH = 1_000_000  # characters of Python; its parser takes 300 bytes for each
MIN_DIFFERENT = 0.9  # of names that are taken from among numbers
_TITLE = re.compile("name|label|class|categor", re.IGNORECASE)
_OTHER_TITLE = re.compile("index|idx|super|id$", re.IGNORECASE)
_HEADER_LINE = re.compile(
    "(class|label|category)?[ _]?(names?|labels?|class(es)?|category|categories):?", re.IGNORECASE
)
_GIVE = "give a JSON list, or a dict from 0, 1, ..."
# What is around names in lines. A form counts only if all lines have it.
_FORMS = [
    re.compile(r"(?P<index>\d+)\s*(?:[:=,;|\t]|[-=]>)\s*(?P<name>.+)", re.ASCII),
    re.compile(r"(?P<index>\d+)\s*[.)]\s+(?P<name>.+)", re.ASCII),
    re.compile(r"(?P<index>\d+)\s+(?P<name>.+)", re.ASCII),
    re.compile(r"(?P<id>n\d{8})\s*[:=,;\s]\s*(?P<name>.+)", re.ASCII),
    re.compile(r"(?P<name>.*[^\s:=|>-])\s*(?:[:=|]|[-=]>)\s*(?P<index>\d+),?", re.ASCII),
    re.compile(r"(?P<name>.+\S)\s+(?P<index>\d+)", re.ASCII),
    re.compile(r"[-*]\s+(?P<name>.+)"),
    re.compile(r"""(?P<quote>["'])(?P<name>.+)(?P=quote),?"""),
]
# Entries of YAML, TOML or Python whose value is in brackets, or of YAML in the indented lines or
# items that follow.
_IN_BRACKETS = re.compile(
    r"^ *(?P<key>\w+) *[:=] *(?P<value>\[[^][]*\]|\{[^}{]*\}|\([^)(]*\)) *$", re.MULTILINE
)
_IN_BLOCK = re.compile(
    r"^ *(?P<key>\w+) *: *\n(?P<value>(?:(?: +\S|- ).*(?:\n|\Z))+)", re.MULTILINE
)


class Label(NamedTuple):
    """The name of a class as a file has it, which may be no text, and its WordNet id if given."""

    name: Any
    wordnet_id: str = ""


Labels = tuple[Label, ...]


class LabelsError(ValueError):
    """Class names that cannot be read; its text is the cause, then the remedy."""


def labels_in(text: str, n_classes: int) -> Labels:
    """The labels in a file, in the order of the classes.

    Where there are not `n_classes` of them, they are those of the form that the file most likely
    has, to be counted.

    Raises:
        LabelsError: the text begins as JSON or Python does, and is neither.
    """
    text = re.sub("\r\n?", "\n", text)
    lines = _lines(text)
    if len(lines) > n_classes == len(names := [line for line in lines if line[0] != "#"]):
        lines = names  # the others are remarks
    if text.lstrip().startswith(("[", "{")):
        try:
            return labels_in_data(_parsed(text.strip()), n_classes)
        except RecursionError as error:
            raise LabelsError(f"too deep; {_GIVE}") from error
        except LabelsError:
            if len(lines) != n_classes or n_classes < 2:
                raise
            if records := _json_lines(lines):
                return _in_list(records)
    # "[background]" may be a name
    return _in_yaml(text, n_classes) or _in_row(text, n_classes) or _in_lines(lines, n_classes)


def labels_in_data(data: Any, n_classes: int) -> Labels:
    """The labels in a list or dict, or in an entry of a dict that is called so.

    Raises:
        LabelsError: nothing says which class has which.
    """
    if isinstance(data, set):
        raise LabelsError(f"a set has no order; {_GIVE}")
    if (labels := _in_whole(data)) is not None:
        return labels
    if labels := _in_entry(data, n_classes):
        return labels
    keys = {str(key) for key in data}
    missing = next(str(index) for index in range(len(data) + 1) if str(index) not in keys)
    raise LabelsError(f"no key '{missing}' in it; give one for each of 0, 1, ...")


def _in_entry(data: dict[Any, Any], n_classes: int) -> Labels | None:
    """The labels in an entry that is called so, of a dict or of dicts in it, also in lists."""
    for key, value in data.items():
        if isinstance(value, dict | list) and len(value) == n_classes and _TITLE.search(str(key)):
            labels = _in_whole(value)
            if labels and all(isinstance(label.name, str) for label in labels):
                return labels
    values = (each for value in data.values() for each in _flat(value))
    inner = (_in_entry(value, n_classes) for value in values if isinstance(value, dict))
    return next(filter(None, inner), None)


def _flat(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [value]


# JSON, or Python


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # no JSON, a number of 5,000 digits, too deep
        cause = str(error).partition(";")[0]
    try:
        if len(text) < MAX_LITERAL_LENGTH:
            return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        pass
    raise LabelsError(f"{cause}; {_GIVE}")


def _json_lines(lines: Sequence[str]) -> list[Any]:
    """Objects of JSON, one in each line; empty if these are none."""
    try:
        return [json.loads(line) for line in lines]
    except (ValueError, RecursionError):
        return []


def _in_whole(data: Any) -> Labels | None:
    """The labels in a list, or in a dict whose keys or values are numbers of classes."""
    if isinstance(data, dict):
        keys, values = [str(key) for key in data], list(data.values())
        if not data:
            return ()
        if order := _order(keys, first=0) or _order(keys, first=1):
            return _in_list([values[place] for place in order])
        if order := _order(values, first=0) or _order(values, first=1):
            return _plain(keys[place] for place in order)
        if all(map(WORDNET_ID.fullmatch, keys)) and all(a < b for a, b in pairwise(keys)):
            return tuple(map(Label, map(_last, values), keys))
        return None
    return _in_list(list(data))


def _in_list(items: Sequence[Any]) -> Labels:
    if items and all(isinstance(item, dict) for item in items):
        header = [key for key in items[0] if all(key in item for item in items)]
        rows = [[item[key] for key in header] for item in items]
        if labels := _in_table(rows, [str(key) for key in header]):
            return labels
    are_rows = all(isinstance(item, list | tuple) and item for item in items)
    return (_in_table(items) if are_rows else None) or tuple(map(_label, items))


def _label(item: Any) -> Label:
    """The label in an item: a list has the name at its end, and may begin with a WordNet id."""
    if isinstance(item, list | tuple) and len(item) > 1 and _is_id(item[0]):
        return Label(item[-1], item[0].strip())
    name = _last(item)
    return Label(name, name if _is_id(name) else "")


def _last(item: Any) -> Any:
    """The last entry of a list that is no number, if there is one; other items as they are."""
    if not isinstance(item, list | tuple) or not item:
        return item
    return next((entry for entry in reversed(item) if not _is_number(entry)), item[-1])


# Tables


def _in_table(rows: Sequence[Sequence[Any]], header: Sequence[str] = ()) -> Labels | None:
    """The labels in rows of equal lengths; None if nothing says which column has them.

    A column of numbers of classes gives the order, one of WordNet ids the ids. The names are in
    the column whose header says so, else in the last one with text of which no two are equal.
    """
    if not rows or any(len(row) != len(rows[0]) for row in rows):
        return None
    columns = list(zip(*rows, strict=True))
    orders = [_order(column) for column in columns]
    ids = next((column for column in columns if all(map(_is_id, column))), None)
    titles = header or [""] * len(columns)
    others = [
        (column, title)
        for column, title, order in zip(columns, titles, orders, strict=True)
        if not order and column is not ids
    ]
    order = next(filter(None, orders), ())
    titled = [column for column, title in others if _is_title(title)]
    if not (order or ids or titled):
        return None
    different = [
        column
        for column, _ in others
        if len(set(map(str, column))) == len(rows) and not all(map(_is_number, column))
    ]
    names = [*titled[:1], *different[::-1], *(column for column, _ in others), ids or ()][0]
    if not titled and not _are_names(names):
        return None
    found = list(map(Label, names, ids or [""] * len(rows)))
    return tuple(found[place] for place in order or range(len(found)))


def _order(column: Sequence[Any], first: int | None = None) -> tuple[int, ...]:
    """For each class the place of its number in a column; empty if these are other numbers.

    They count from 0, or from 1 if they are in order, so that they only number the lines.

    Args:
        column: numbers, also as texts.
        first: the number to count from, if there is but one.
    """
    texts = [str(value).strip() for value in column if not isinstance(value, bool)]
    are_numbers = all(re.fullmatch(r"\d{1,9}", text, re.ASCII) for text in texts)
    if not texts or len(texts) != len(column) or not are_numbers:
        return ()
    numbers = list(map(int, texts))
    if first is None and numbers == list(range(1, len(numbers) + 1)):
        return tuple(range(len(numbers)))
    if sorted(numbers) != [number + (first or 0) for number in range(len(numbers))]:
        return ()
    return tuple(sorted(range(len(numbers)), key=numbers.__getitem__))


def _are_names(names: Sequence[Any]) -> bool:
    """Whether nearly all are different; those of "0 degrees, 1 degrees" without numbers are not."""
    return len(set(map(str, names))) >= MIN_DIFFERENT * len(names)


def _is_number(value: Any) -> bool:
    return re.fullmatch(r"-?[\d.]+", str(value).strip(), re.ASCII) is not None


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and WORDNET_ID.fullmatch(value.strip()) is not None


def _is_title(title: str) -> bool:
    """Whether a column is called as one with names is."""
    return bool(_TITLE.search(title)) and not _OTHER_TITLE.search(title)


# YAML, as far as files of class names have it


def _in_yaml(text: str, n_classes: int) -> Labels:
    """The labels in an entry of YAML that is called so; none if it has not one for each class."""
    for entry in _IN_BRACKETS.finditer(text):
        items = _in_brackets(entry["value"])
        if _TITLE.search(entry["key"]) and len(items) == n_classes:
            return items
    for entry in _IN_BLOCK.finditer(text):
        lines = _lines(entry["value"])
        if _TITLE.search(entry["key"]) and len(lines) == n_classes:
            return _in_formed(lines) or ()
    return ()


def _in_brackets(text: str) -> Labels:
    """The labels in a list or dict, also of words without quotes."""
    try:
        return _in_whole(_parsed(text)) or ()
    except LabelsError:
        items = (item.strip().strip("'\"") for item in text[1:-1].split(","))
        return _plain(item for item in items if item)


# Lines


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.split("\n") if line.strip()]


def _in_lines(lines: Sequence[str], n_classes: int) -> Labels:
    """The labels in lines: those of a form that fits all of them, else one in each line."""
    for header, rest in (("", lines), ("".join(lines[:1]), lines[1:])):
        if len(rest) == n_classes:
            if labels := _in_separated(rest, header) or _in_formed(rest):
                return labels
            if _HEADER_LINE.fullmatch(header.strip('"')):
                return _plain(_unquoted(rest))
    values = _unquoted(lines)
    # A table quotes only values with commas; other quotes belong to the names.
    is_table = all(value == line or "," in value for value, line in zip(values, lines, strict=True))
    return _plain(values if is_table else lines)


def _in_row(text: str, n_classes: int) -> Labels:
    """The labels in a tuple of Python, or in the only line, between commas; none if they are not.

    A single class has no row, so that its name may have commas.
    """
    text = text.strip()
    if n_classes < 2:
        return ()
    if text.startswith("("):
        try:
            row = _parsed(text)
        except LabelsError:
            return ()
        return _in_list(row) if isinstance(row, tuple) and len(row) == n_classes else ()
    row = [] if "\n" in text else [name.strip() for name in _unquoted_row(text)]
    return _plain(row) if len(row) == n_classes and all(row) else ()


def _unquoted_row(line: str) -> Sequence[str]:
    try:
        return next(csv.reader([line], skipinitialspace=True), [])
    except csv.Error:
        return []


def _unquoted(lines: Sequence[str]) -> Sequence[str]:
    """The values of a table with one column, which quotes those with a comma; other lines alone."""
    try:
        rows = list(csv.reader(lines, strict=True))
    except csv.Error:
        return lines
    is_one_column = len(rows) == len(lines) and all(len(row) == 1 for row in rows)
    return [row[0] for row in rows] if is_one_column else lines


def _plain(lines: Iterable[str]) -> Labels:
    return tuple(Label(line, line if _is_id(line) else "") for line in lines)


def _in_separated(lines: Sequence[str], header: str) -> Labels | None:
    """The labels in values that commas, tabs or semicolons separate."""
    for delimiter in ("\t", ",", ";"):
        try:
            rows = list(csv.reader(lines, delimiter=delimiter))
            titles = next(csv.reader([header], delimiter=delimiter), [])
        except csv.Error:
            continue
        if len(rows) != len(lines) or len(rows[0]) < 2 or len(titles) not in (0, len(rows[0])):
            continue
        if labels := _in_table(rows, titles):
            return labels
    return None


def _in_formed(lines: Sequence[str]) -> Labels | None:
    """The labels in lines of one form, which may have another inside: `0: n01440764 tench`."""
    for form in _FORMS:
        matches = [match for match in map(form.fullmatch, lines) if match]
        names = [match["name"].strip() for match in matches]
        if len(matches) < len(lines) or not _are_names(names):
            continue
        parts = [match.groupdict() for match in matches]
        order = _order([part.get("index", "") for part in parts]) or range(len(parts))
        if "index" in form.groupindex and isinstance(order, range):
            continue
        found = _in_formed(names) or _plain(names)
        labels = [
            Label(label.name, part.get("id", label.wordnet_id))
            for label, part in zip(found, parts, strict=True)
        ]
        return tuple(labels[place] for place in order)
    return None
