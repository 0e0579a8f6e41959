"""The drawing of a network as the front page shows it: tiles, rows and signs, with links."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from atlas import paths
from atlas.site import wording
from atlas.site.branches import Fork, Mark, Path
from atlas.site.drawing import Fold, Row, Stage, draw, is_single, residual
from atlas.site.parts import Cell, counted_units, stage_anchor
from atlas.units import Layer
from atlas.vocabulary import VOCABULARIES, words_of


@dataclass(frozen=True)
class Cover:
    """What represents a layer: its dream, or a few of its units."""

    cells: tuple[Cell, ...] = ()
    words: tuple[str, ...] = ()  # what these units are, in a word or two each


Covers: TypeAlias = Mapping[str, Cover]  # by layer


@dataclass(frozen=True)
class Sign:
    """How the drawing shows that branches are joined."""

    style: str  # class of the style sheet, which draws it
    text: str
    words: str  # what it says of the branches


SIGNS: Mapping[Mark, Sign] = {
    "sum": Sign("sum", "+", "adds them up"),
    "concat": Sign("concat", "‖", "puts their channels side by side"),
    "product": Sign("product", "×", "multiplies one by the other, so that one is the other’s gate"),
    "mixed": Sign("mixed", "∗", "joins them in several ways"),
}


@dataclass(frozen=True)
class Tile:
    """A convolution in the drawing."""

    name: str  # short: without its block's name
    href: str
    size: str
    cover: Cover


@dataclass(frozen=True)
class ForkView:
    """Branches in the drawing, each a series of tiles and forks."""

    sign: Sign  # where they are joined
    branches: tuple[PathView, ...]


PathView: TypeAlias = tuple[Tile | ForkView, ...]


@dataclass(frozen=True)
class RowView:
    """A row of the drawing.

    In the large drawing, `stream` is on the line from the image to the classes, and `path` is the
    branch beside it. In the small one, all is on `path`.
    """

    name: str | None
    style: str  # classes of the style sheet
    path: PathView
    stream: PathView = ()


@dataclass(frozen=True)
class FoldView:
    """Rows of the drawing that are folded away."""

    words: str
    rows: tuple[RowView, ...]


@dataclass(frozen=True)
class StageView:
    """A stage in the drawing."""

    name: str
    anchor: str | None  # id of its section; only the first of several that have one name has one
    words: str
    parts: tuple[RowView | FoldView, ...]


@dataclass(frozen=True)
class DrawingView:
    """The drawing of the network."""

    is_large: bool
    is_known: bool  # whether it is known how all layers are connected
    signs: tuple[Sign, ...]  # those to be explained
    stages: tuple[StageView, ...]


def drawing_view(layers: Sequence[Layer], covers: Covers) -> DrawingView:
    """The drawing of a network's layers."""
    drawing = draw(layers)
    names = [stage.name for stage in drawing.stages]
    stages = (
        StageView(
            stage.name,
            stage_anchor(layers, stage.layers[0]) if stage.name not in names[:nth] else None,
            _stage_words(stage),
            tuple(_part_view(part, drawing.is_large, covers) for part in stage.parts),
        )
        for nth, stage in enumerate(drawing.stages)
    )
    explained = drawing.marks if drawing.marks != {"sum"} else ()
    signs = tuple(sign for mark, sign in SIGNS.items() if mark in explained)
    return DrawingView(drawing.is_large, drawing.is_known, signs, tuple(stages))


def _stage_words(stage: Stage) -> str:
    layers = stage.layers
    n_units = sum(layer.n_units for layer in layers)
    if all(layer.is_classifier for layer in layers):
        return counted_units(layers[0], n_units)
    parts = [_block_words(stage)] if stage.n_blocks else []
    for kind, words in VOCABULARIES.items():
        if n_layers := sum(layer.kind == kind for layer in layers):
            parts.append(wording.count(n_layers, words.layer, words.layers))
    parts.append(wording.count(n_units, "unit"))
    if layers[-1].has_maps:
        parts.append(wording.positions(layers[-1].output_px))
    return ", ".join(parts)


def _block_words(stage: Stage) -> str:
    """`3 blocks`, or `1 block in 6 parts` where a dense block has several rows."""
    words, n_rows = wording.count(stage.n_blocks, "block"), stage.n_rows_in_blocks
    return words if n_rows == stage.n_blocks else f"{words} in {n_rows} parts"


def _part_view(part: Row | Fold, is_large: bool, covers: Covers) -> RowView | FoldView:
    view = _large_row if is_large else _small_row
    if isinstance(part, Row):
        return view(part, covers)
    rows = part.rows
    n_layers = wording.count(sum(len(row.layers) for row in rows), "layer")
    return FoldView(
        f"{len(rows)} more of the same shape, with {n_layers}: {rows[0].name} to {rows[-1].name}",
        tuple(view(row, covers) for row in rows),
    )


def _large_row(row: Row, covers: Covers) -> RowView:
    both = residual(row)
    if both is None:
        return RowView(row.name, "plain", (), _path_view(row, row.layers, covers))
    style = ["projection" if both.stream else "identity", *(["concat"] * (both.mark == "concat"))]
    branch, stream = (_path_view(row, path, covers) for path in (both.branch, both.stream))
    return RowView(row.name, " ".join(style), branch, stream)


def _small_row(row: Row, covers: Covers) -> RowView:
    path = _path_view(row, row.layers if row.path is None else row.path, covers)
    if row.path is None:
        return RowView(row.name, "list", path)
    if is_single(row):
        return RowView(row.name, "plain", (), path)
    fork = row.path[0] if len(row.path) == 1 else None
    if not isinstance(fork, Fork) or fork.mark == "product":
        return RowView(row.name, "chain", path)
    skips = ["skips"] * (not all(fork.branches))
    return RowView(row.name, " ".join(["fork", SIGNS[fork.mark].style, *skips]), path)


def _path_view(row: Row, path: Path, covers: Covers) -> PathView:
    return tuple(
        _fork_view(row, step, covers) if isinstance(step, Fork) else _tile(row, step, covers)
        for step in path
    )


def _fork_view(row: Row, fork: Fork, covers: Covers) -> ForkView:
    branches = tuple(_path_view(row, branch, covers) for branch in fork.branches)
    return ForkView(SIGNS[fork.mark], branches)


def _tile(row: Row, layer: Layer, covers: Covers) -> Tile:
    count = wording.count(layer.n_units)
    kernel = "×".join(str(side) for side in layer.kernel)  # without the spaces of running text
    units = counted_units(layer, layer.n_units)
    return Tile(
        name=row.short(layer),
        href=paths.layer_page(layer.name),
        size=words_of(layer).size.format(count=count, units=units, kernel=kernel),
        cover=covers[layer.name],
    )
