"""What units are found by: the columns of all layers side by side, and their compact index.

The index is a script, because pages opened from disk may not fetch files. It has a row for every
unit with a page: layer after layer, in order. Each column lists its distinct values, the most
frequent first, and has a code for every row: 0 for none, else the position of the row's value in
that list plus one. A code is one character, and small codes are those of one byte.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from atlas.kinds.kind import Column, TextColumn
from atlas.kinds.tuning.view import stimuli_shown
from atlas.lazily import load
from atlas.site import wording
from atlas.site.contents import Contents
from atlas.site.sortable import filled_columns, ordered_columns
from atlas.site.sprites import THUMBS
from atlas.units import Layer

INDEX_VARIABLE = b"self.atlasUnits = "
# The characters of codes: those of ASCII that JSON does not escape, then two bytes each.
_ONE_BYTE = "".join(chr(point) for point in range(ord("#"), 127) if chr(point) != "\\")
_OTHERS_FROM = 0xA1
# Of all columns, compressed; beyond it, numbers get coarser. The second is for large networks.
MAX_BYTES, MAX_BYTES_PER_UNIT = 385_000, 14


class Precision(NamedTuple):
    """How exactly numbers are kept."""

    n_digits: int  # significant ones
    n_values: int  # at most, distinct; angles are rounded to whole degrees at least


PRECISIONS = (Precision(3, 4000), Precision(2, 4000), Precision(2, 90))  # 90 codes have one byte

Values = npt.NDArray[np.float64]  # a number for each row, NaN where there is none


@dataclass(frozen=True)
class FoundNumbers:
    """A number of units, in all layers that have it."""

    name: str
    unit: str  # of measurement, or empty
    about: str  # entry of the glossary, or empty
    column: Column
    values: Values


@dataclass(frozen=True)
class FoundTexts:
    """A word for units, in all layers that have it."""

    column: TextColumn
    values: Sequence[str | None]  # by row


@dataclass(frozen=True)
class Found:
    """All that units are found by."""

    numbers: tuple[FoundNumbers, ...]
    texts: tuple[FoundTexts, ...]


@dataclass(frozen=True)
class Levels:
    """The distinct values of a column, and for each row the position of its value plus one."""

    values: Sequence[Any]
    codes: npt.NDArray[np.int64]  # 0 where there is none

    def by_frequency(self) -> Levels:
        """The same with the most frequent values first."""
        counts = np.bincount(self.codes, minlength=len(self.values) + 1)[1:]
        order = np.argsort(-counts, kind="stable")
        renumbered = np.concatenate([[0], np.argsort(order) + 1])
        return Levels([self.values[nth] for nth in order], renumbered[self.codes])

    @property
    def text(self) -> str:
        """The codes, a character for each row."""
        n_others = len(self.values) + 1 - len(_ONE_BYTE)
        others = (chr(_OTHERS_FROM + nth) for nth in range(n_others))
        return "".join(np.array([*_ONE_BYTE, *others])[self.codes].tolist())

    @property
    def n_bytes(self) -> int:
        """The size of the codes and of the distinct values, compressed."""
        return sum(len(zlib.compress(part, 6)) for part in (self.text.encode(), _json(self.values)))


def found_by(contents: Contents) -> Found:
    """All numbers and words that at least one unit with a page has."""
    numbers = sorted(
        _numbers(contents), key=lambda each: ordered_columns(contents).index(each.column)
    )
    return Found(tuple(numbers), tuple(_texts(contents)))


def find_index(contents: Contents, found: Found) -> bytes:
    """The index as a script."""
    texts = [levels_of_texts(each.values) for each in found.texts]
    max_bytes = max(MAX_BYTES, MAX_BYTES_PER_UNIT * contents.n_pages)
    levels = fitted(found.numbers, max_bytes - sum(each.n_bytes for each in texts))
    index = {
        "layers": [_layer(contents, layer) for layer in contents.facts.layers],
        "numbers": [
            {
                "name": each.name,
                "unit": each.unit,
                "field": each.column.field,
                "turn": each.column.full_turn,
                "is_partial": each.column.is_partial,
                **_packed(level),
            }
            for each, level in zip(found.numbers, levels, strict=True)
        ],
        "texts": [
            {
                "name": each.column.name,
                "is_title": each.column.is_title,
                "is_partial": each.column.is_partial,
                **_packed(level),
            }
            for each, level in zip(found.texts, texts, strict=True)
        ],
        "stimuli": stimuli_shown(contents),
    }
    return INDEX_VARIABLE + _json(index) + b";\n"


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def fitted(columns: Sequence[FoundNumbers], max_bytes: float) -> list[Levels]:
    """Columns as fine as fits: those that take most are the first to become coarser.

    Args:
        columns: what units are found by.
        max_bytes: of all of them, compressed.
    """
    finest, *coarser = PRECISIONS
    levels = [levels_of(each, finest) for each in columns]
    n_bytes = [each.n_bytes for each in levels]
    for precision in coarser:
        for nth in sorted(range(len(columns)), key=lambda each: -n_bytes[each]):
            if sum(n_bytes) <= max_bytes:
                return levels
            levels[nth] = levels_of(columns[nth], precision)
            n_bytes[nth] = levels[nth].n_bytes
    return levels


def levels_of(numbers: FoundNumbers, precision: Precision) -> Levels:
    """The distinct values of a column that are left at a precision, and their codes."""
    full_turn = numbers.column.full_turn
    rounded = _rounded_angles if full_turn else _rounded
    values = rounded(numbers.values, full_turn, precision)
    distinct, codes = np.unique(values, return_inverse=True, equal_nan=True)  # NaN comes last
    known = [float(f"{value:.6g}") for value in distinct[~np.isnan(distinct)].tolist()]
    short = [int(value) if value.is_integer() else value for value in known]
    return Levels(short, np.where(codes == len(known), 0, codes + 1)).by_frequency()


def _rounded_angles(values: Values, full_turn: int, precision: Precision) -> Values:
    step = -(-full_turn // precision.n_values)
    return np.round(values / step) * step % full_turn


def _rounded(values: Values, _: int, precision: Precision) -> Values:
    """Numbers with so many digits; if too many are distinct, the nearest of evenly taken ones."""
    with np.errstate(divide="ignore"):
        exponents = np.floor(np.log10(np.abs(values)))
    scales = 10.0 ** (precision.n_digits - 1 - np.where(np.isfinite(exponents), exponents, 0))
    rounded = np.round(values * scales) / scales
    known = np.unique(rounded[~np.isnan(rounded)])
    if len(known) <= precision.n_values:
        return rounded
    kept = known[np.linspace(0, len(known) - 1, precision.n_values).round().astype(int)]
    nearest = kept[np.searchsorted((kept[1:] + kept[:-1]) / 2, rounded)]
    return np.where(np.isnan(rounded), np.nan, nearest)


def levels_of_texts(texts: Sequence[str | None]) -> Levels:
    """The distinct words of a column, and their codes."""
    words = sorted({text for text in texts if text})
    places = {text: nth for nth, text in enumerate(words, 1)}
    codes = np.array([places.get(text or "", 0) for text in texts], np.int64)
    return Levels(words, codes).by_frequency()


def _packed(levels: Levels) -> dict[str, Any]:
    return {"values": levels.values, "codes": levels.text}


def _layer(contents: Contents, layer: Layer) -> list[Any]:
    """A layer's name, runs of units with a page, and the sheets with their pictures."""
    return [layer.name, wording.ranges(contents.paged[layer.name]), _sheets(contents, layer)]


def _sheets(contents: Contents, layer: Layer) -> list[Any] | None:
    """Stem, cells per row, a cell's width over its height, words for a picture, and runs of units.

    Excitatory pictures; where a layer has none, photographs or weights, as on the layer's page.
    """
    if pictured := contents.pictured(layer):
        runs = wording.ranges(unit.index for unit in pictured)
        return [THUMBS.stem, THUMBS.columns, 1, "Synthetic picture that excites", runs]
    others = [kind for kind in contents.kinds if kind.sheet and kind.sheet_words]
    for kind in sorted(others, key=lambda kind: -kind.order):
        sprites = {nth: contents.sprite(layer, nth, kind) for nth in contents.paged[layer.name]}
        shown = {nth: sprite for nth, sprite in sprites.items() if sprite}
        if kind.sheet and shown:
            width, height = next(iter(shown.values())).cell_px
            words, ratio = f"{kind.sheet_words.capitalize()} of", round(width / height, 4)
            return [kind.sheet.stem, kind.sheet.columns, ratio, words, wording.ranges(shown)]
    return None


def _numbers(contents: Contents) -> Iterator[FoundNumbers]:
    """Numbers of the same name and unit are one column, whichever layers have them."""
    starts, n_rows = _starts(contents)
    columns: dict[tuple[str, str], FoundNumbers] = {}
    for layer in contents.facts.layers:
        for name, unit, values, about, column in filled_columns(contents, layer):
            key = name, unit
            if key not in columns:
                columns[key] = FoundNumbers(name, unit, about, column, np.full(n_rows, np.nan))
            rows = [
                np.nan if values[nth] is None else values[nth] for nth in contents.paged[layer.name]
            ]
            start = starts[layer.name]
            columns[key].values[start : start + len(rows)] = rows
    return (each for each in columns.values() if not np.isnan(each.values).all())


def _texts(contents: Contents) -> Iterator[FoundTexts]:
    for column in (column for kind in contents.kinds for column in kind.text_columns):
        texts_of = load(column.texts)
        values: list[str | None] = []
        for layer in contents.facts.layers:
            texts, paged = texts_of(contents, layer), contents.paged[layer.name]
            values += [texts[nth] for nth in paged] if texts else [None] * len(paged)
        if any(values):
            yield FoundTexts(column, values)


def _starts(contents: Contents) -> tuple[dict[str, int], int]:
    """By layer, its first row; and the number of rows."""
    starts, n_rows = {}, 0
    for layer in contents.facts.layers:
        starts[layer.name] = n_rows
        n_rows += len(contents.paged[layer.name])
    return starts, n_rows
