"""What a network answered to some images of a set; tallies of different images merge exactly.

A tally is plain data: NumPy arrays, numbers and text. All sums are whole numbers, so the order in
which tallies are merged makes no difference.
"""

from __future__ import annotations

import dataclasses
import functools
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlas.decoding import Skipped

Array = NDArray[Any]
Span = tuple[int, int]  # positions of images in their set: the first, and the one after the last


@dataclass(frozen=True)
class TopArrays:
    """The largest responses of each unit, largest first, among equal ones the earlier image first.

    Where there are fewer images than rows, the last rows have the value -inf and the image -1.
    """

    values: Array  # (n_kept, n_units), float32
    images: Array  # positions of the images in their set, (n_kept, n_units), int64
    places: Array  # positions in the layer's map, counted row by row, (n_kept, n_units), int64


@dataclass(frozen=True)
class LayerTally:
    """The answers of one layer. Sums are fixed-point numbers, as `answers.py` says."""

    highest: TopArrays
    lowest: TopArrays  # of the negated responses
    n_fired: Array  # images in which a unit fires, (n_units,), int64
    active: Array  # sum of the shares of positions at which it fires, (n_units,), int64
    classes: Array  # classes of the images, ascending, (n_classes,), int64
    class_sums: Array  # sums of activations, (n_classes, n_units), int64
    rows: Array  # rows of the sample that the images are in, ascending, (n_rows,), int64
    sampled: Array  # the responses to these images, (n_rows, n_units), float16
    sampled_places: Array  # (n_rows, n_units), int16


@dataclass(frozen=True)
class Tally:
    """The answers of several layers to some images of a set."""

    spans: tuple[Span, ...]  # of the images, ascending and apart from each other
    skipped: Mapping[int, Skipped]  # images that were not read, by their position, ascending
    layers: Mapping[str, LayerTally]

    @property
    def n_files(self) -> int:
        """How many files were looked at, skipped ones included."""
        return sum(end - first for first, end in self.spans)

    def to_bytes(self) -> bytes:
        """The tally for a file, without Python objects."""
        reasons = self.skipped.values()
        arrays: dict[str, Array] = {
            "spans": np.array(self.spans, dtype=np.int64).reshape(-1, 2),
            "skipped": np.array(list(self.skipped), dtype=np.int64),
            "groups": np.array([each.group for each in reasons], dtype=str),
            "reasons": np.array([each.reason for each in reasons], dtype=str),
            "layers": np.array(list(self.layers), dtype=str),
        }
        for name, layer in self.layers.items():
            arrays |= {f"{name}/{field}": array for field, array in _arrays_of(layer).items()}
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)  # type: ignore[arg-type]
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Tally:
        """The tally that `to_bytes` wrote.

        Raises:
            Exception: of any type, if the bytes are damaged.
        """
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            reasons = map(Skipped, arrays["groups"].tolist(), arrays["reasons"].tolist())
            return cls(
                tuple((first, end) for first, end in arrays["spans"].tolist()),
                dict(zip(arrays["skipped"].tolist(), reasons, strict=True)),
                {name: _layer_of(arrays, f"{name}/") for name in arrays["layers"].tolist()},
            )


def span_of_part(data: bytes) -> range:
    """The positions of the images that a tally, as bytes, is of.

    Raises:
        Exception: of any type, if the bytes are damaged, or there is none or there are gaps.
    """
    ((first, end),) = Tally.from_bytes(data).spans
    return range(first, end)


def merge(one: Tally, other: Tally) -> Tally:
    """The tally of the images of both; in whatever order tallies are merged, it is the same.

    Raises:
        ValueError: they have an image in common, or are of different layers.
    """
    if list(one.layers) != list(other.layers):
        raise ValueError("tallies of different layers")
    return Tally(
        _joined([*one.spans, *other.spans]),
        dict(sorted({**one.skipped, **other.skipped}.items())),
        {name: _merged(layer, other.layers[name]) for name, layer in one.layers.items()},
    )


def merged(tallies: Iterable[Tally]) -> Tally:
    """The tally of all images of some tallies, of which there is at least one.

    Those of about as many are merged first, so that large ones are seldom copied.
    """
    waiting: list[tuple[int, Tally]] = []  # of how many each is, and the tally
    for tally in tallies:
        n_merged, all_merged = 1, tally
        while waiting and waiting[-1][0] <= n_merged:
            n_before, before = waiting.pop()
            n_merged, all_merged = n_before + n_merged, merge(before, all_merged)
        waiting.append((n_merged, all_merged))
    return functools.reduce(merge, (tally for _, tally in reversed(waiting)))


def _joined(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Spans in order, those that touch as one."""
    joined: list[Span] = []
    for first, end in sorted(spans):
        if joined and first < joined[-1][1]:
            raise ValueError(f"image {first} is in two tallies")
        if joined and first == joined[-1][1]:
            joined[-1] = (joined[-1][0], end)
        elif end > first:
            joined.append((first, end))
    return tuple(joined)


def _merged(one: LayerTally, other: LayerTally) -> LayerTally:
    classes, class_sums = _summed((one.classes, one.class_sums), (other.classes, other.class_sums))
    rows = np.concatenate([one.rows, other.rows])
    order = rows.argsort(kind="stable")
    return LayerTally(
        _larger(one.highest, other.highest),
        _larger(one.lowest, other.lowest),
        one.n_fired + other.n_fired,
        one.active + other.active,
        classes,
        class_sums,
        rows[order],
        np.concatenate([one.sampled, other.sampled])[order],
        np.concatenate([one.sampled_places, other.sampled_places])[order],
    )


def _larger(one: TopArrays, other: TopArrays) -> TopArrays:
    """The largest responses of both."""
    values, images, places = (
        np.concatenate([getattr(one, name), getattr(other, name)])
        for name in ("values", "images", "places")
    )
    order = np.lexsort((images, -values), axis=0)[: len(one.values)]
    return TopArrays(*(np.take_along_axis(each, order, 0) for each in (values, images, places)))


def _summed(*sums: tuple[Array, Array]) -> tuple[Array, Array]:
    """Sums by class as one: their classes (n,) and the sums (n, n_units)."""
    classes = np.unique(np.concatenate([own for own, _ in sums]))
    total = np.zeros((len(classes), sums[0][1].shape[1]), np.int64)
    for own, of_class in sums:
        total[np.searchsorted(classes, own)] += of_class
    return classes, total


def _arrays_of(layer: Any) -> dict[str, Array]:
    """All arrays by the names of their fields, those of fields in fields with a dot."""
    arrays: dict[str, Array] = {}
    for field in dataclasses.fields(layer):
        value = getattr(layer, field.name)
        inner = _arrays_of(value) if dataclasses.is_dataclass(value) else {"": value}
        arrays |= {f"{field.name}.{name}".rstrip("."): array for name, array in inner.items()}
    return arrays


def _layer_of(arrays: Mapping[str, Array], prefix: str) -> LayerTally:
    def top(name: str) -> TopArrays:
        return TopArrays(*(arrays[f"{prefix}{name}.{part}"] for part in _names(TopArrays)))

    names: Sequence[str] = _names(LayerTally)[2:]
    return LayerTally(top("highest"), top("lowest"), *(arrays[prefix + name] for name in names))


def _names(of_type: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(of_type)]
