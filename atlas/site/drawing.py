"""How a network is drawn: its stages, and in each of them rows of layers, from the layers alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from atlas.site.branches import Fork, Mark, Path, layers_of, path_through
from atlas.units import Layer

MAX_ALIKE = 6  # rows of the same shape one after the other; of more, only the ends are in sight
MAX_WIDTH = 5  # layers side by side in a row of several layers
MAX_LARGE = 3  # the same where the layers are drawn large


@dataclass(frozen=True)
class Row:
    """What is drawn side by side: a block, a part of one, or layers outside any block."""

    name: str | None  # of the module that holds its layers; None for layers outside any block
    layers: tuple[Layer, ...]
    path: Path | None  # None where it is not known how they are connected, or too tangled to draw

    @cached_property
    def shape(self) -> object:
        """Equal for rows that look the same but for their pictures."""
        return self._shape(self.layers if self.path is None else self.path)

    def _shape(self, path: Path) -> tuple[object, ...]:
        return tuple(
            (step.mark, *map(self._shape, step.branches))
            if isinstance(step, Fork)
            else (self.short(step), step.kind, step.n_units, step.kernel)
            for step in path
        )

    def short(self, layer: Layer) -> str:
        """A layer's name without that of the row."""
        return layer.name.removeprefix(f"{self.name}.") if self.name else layer.name


@dataclass(frozen=True)
class Fold:
    """Rows of the same shape, of which only the first and the last are in sight."""

    rows: tuple[Row, ...]  # those in between


@dataclass(frozen=True)
class Stage:
    """Layers of equal map size."""

    name: str
    layers: tuple[Layer, ...]
    parts: tuple[Row | Fold, ...]
    n_blocks: int

    @property
    def rows(self) -> tuple[Row, ...]:
        """All its rows, also those that are folded away."""
        return tuple(
            row for part in self.parts for row in (part.rows if isinstance(part, Fold) else (part,))
        )

    @property
    def n_rows_in_blocks(self) -> int:
        """The number of rows that show a block or a part of one."""
        return sum(row.layers[0].block is not None for row in self.rows)


@dataclass(frozen=True)
class Drawing:
    """A network, drawn from the image down to the classes."""

    stages: tuple[Stage, ...]

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """All rows, also those that are folded away."""
        return tuple(row for stage in self.stages for row in stage.rows)

    @cached_property
    def is_large(self) -> bool:
        """Whether there is room to draw each layer large: no row has more than two branches."""
        return all(is_single(row) or residual(row) for row in self.rows)

    @cached_property
    def marks(self) -> frozenset[Mark]:
        """How branches are joined in this network."""
        return frozenset(mark for row in self.rows for mark in _marks(row.path or ()))

    @property
    def is_known(self) -> bool:
        """Whether it is known how all layers are connected."""
        return all(layer.is_traced for row in self.rows for layer in row.layers)


@dataclass(frozen=True)
class Residual:
    """A row of two branches, as the large drawing shows it."""

    branch: tuple[Layer, ...]
    stream: tuple[Layer, ...]  # layers on the skip path; empty if it hands on what comes in
    mark: Mark


def draw(layers: Sequence[Layer]) -> Drawing:
    """The drawing of a network."""
    return Drawing(
        tuple(
            _stage(name, tuple(inside), layers)
            for name, inside in itertools.groupby(layers, key=lambda layer: layer.stage)
        )
    )


def is_single(row: Row) -> bool:
    """Whether a row is one layer outside any block."""
    return row.name is None and len(row.layers) == 1


def residual(row: Row) -> Residual | None:
    """The two branches of a row, if it is nothing else and there is room to draw them large."""
    step = row.path[0] if row.path and len(row.path) == 1 else None
    if not isinstance(step, Fork) or len(step.branches) != 2 or step.mark == "product":
        return None
    branches = [
        tuple(step for step in branch if isinstance(step, Layer)) for branch in step.branches
    ]
    branch = max(branches, key=len)
    is_plain = sum(map(len, branches)) == len(row.layers)
    if not is_plain or len(branch) > MAX_LARGE:
        return None
    return Residual(branch, branches[1 - branches.index(branch)], step.mark)


def width(path: Path) -> int:
    """The number of layers side by side on a path, in its widest branch."""
    return sum(
        max(map(width, step.branches), default=0) if isinstance(step, Fork) else 1 for step in path
    )


def _stage(name: str, inside: tuple[Layer, ...], layers: Sequence[Layer]) -> Stage:
    blocks = [
        (block, tuple(members))
        for block, members in itertools.groupby(inside, key=lambda layer: layer.block)
    ]
    rows = (row for block, members in blocks for row in _rows(block, members, layers))
    n_blocks = sum(block is not None for block, _ in blocks)
    return Stage(name, inside, tuple(_folded(rows)), n_blocks)


def _rows(block: str | None, inside: tuple[Layer, ...], layers: Sequence[Layer]) -> Iterator[Row]:
    """The rows of a block: one, but for series of forks and for what is too wide."""
    path = path_through(inside, layers)
    if path is None:
        yield Row(block, inside, None)
        return
    parts = [*_parts(path)]
    for part in parts:
        members = tuple(layers_of(part))
        yield Row(_name(block, members, len(parts)), members, part)


def _name(block: str | None, members: Sequence[Layer], n_parts: int) -> str | None:
    """The name of a part of a block: of the smallest module that holds its layers."""
    if block is None or n_parts == 1:
        return block
    parts = [layer.name.split(".")[:-1] for layer in members]
    common = itertools.takewhile(lambda each: len({*each}) == 1, zip(*parts, strict=False))
    return ".".join(each[0] for each in common)


def _parts(path: Path) -> Iterator[Path]:
    """A path as one row or several: forks have rows of their own if there is nothing else."""
    if all(isinstance(step, Fork) for step in path):
        yield from ((step,) for step in path)
        return
    row: Path = ()
    for step in path:
        if row and width((*row, step)) > MAX_WIDTH:
            yield row
            row = ()
        row += (step,)
    yield row


def _folded(rows: Iterator[Row]) -> Iterator[Row | Fold]:
    """Rows, with those between the ends of a long run of equal ones folded away."""
    for _, run in itertools.groupby(rows, key=lambda row: row.shape):
        alike = tuple(run)
        if len(alike) <= MAX_ALIKE:
            yield from alike
        else:
            yield from (alike[0], Fold(alike[1:-1]), alike[-1])


def _marks(path: Path) -> Iterator[Mark]:
    for step in path:
        if isinstance(step, Fork):
            yield step.mark
            for branch in step.branches:
                yield from _marks(branch)
