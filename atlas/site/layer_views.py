"""The page of one layer: its facts, and all its units as a grid of thumbnails."""

from __future__ import annotations

from dataclasses import dataclass

from atlas.cache import Entry
from atlas.site import wording
from atlas.site.sprites import THUMBS
from atlas.site.views import (
    Cell,
    Contents,
    Fact,
    Head,
    Link,
    layer_link,
    picture_alt,
    spread,
)
from atlas.units import Layer, Unit


@dataclass(frozen=True)
class GridUnit:
    """One unit in the grid."""

    href: str
    index: int
    label: str | None
    cell: Cell | None  # None: no excitatory picture yet
    score: str | None  # to sort by
    shown: str | None  # the same, as people read it
    dead: bool


@dataclass(frozen=True)
class LayerPage:
    """View of `layer.html`."""

    head: Head
    name: str
    subtitle: str
    facts: tuple[Fact, ...]
    units: tuple[GridUnit, ...]
    rendered: str
    missing: str | None  # "16–63"
    n_missing: str
    score: str | None  # what the grid can be sorted by
    has_labels: bool
    previous: Link | None
    next: Link | None


def layer_view(contents: Contents, layer: Layer) -> LayerPage:
    """The page of one layer."""
    layers, paged = contents.facts.layers, contents.paged[layer.name]
    known = set(paged)
    missing = [index for index in range(layer.n_units) if index not in known]
    units = tuple(_grid_unit(contents, layer, index) for index in paged)
    position = layers.index(layer)
    return LayerPage(
        head=_head(contents, layer),
        name=layer.name,
        subtitle=_subtitle(layer),
        facts=layer_facts(layer),
        units=units,
        rendered=wording.count(len(paged)),
        missing=wording.spell_ranges(missing) or None,
        n_missing=wording.count(len(missing), "unit"),
        score=_score_name(layer) if any(unit.score for unit in units) else None,
        has_labels=layer.kind == "classifier" and bool(contents.facts.labels),
        previous=layer_link(layers[position - 1].name, "../") if position else None,
        next=layer_link(layers[position + 1].name, "../") if position + 1 < len(layers) else None,
    )


def layer_facts(layer: Layer) -> tuple[Fact, ...]:
    """What a layer is, in terms and values; rows that would say nothing are left out."""
    per_group = layer.in_channels // layer.groups
    if layer.kind == "classifier":
        return (
            Fact("Weights", wording.pair((layer.n_units, per_group))),
            Fact("Reads", f"{wording.count(layer.in_channels)} pooled channels"),
            Fact("Work up to here", f"{wording.large(layer.macs)} multiply-adds"),
        )
    rows = [
        Fact("Weights", wording.pair((layer.n_units, per_group, *layer.kernel))),
        Fact("Kernel", wording.pair(layer.kernel)),
        Fact("Stride", wording.pair(layer.stride), about="stride"),
        Fact("Padding", wording.pair(layer.padding)),
    ]
    if layer.groups > 1:
        rows.append(Fact("Groups", wording.count(layer.groups)))
    if layer.dilation != (1, 1):
        rows.append(Fact("Dilation", wording.pair(layer.dilation)))
    return (*rows, *_place_facts(layer))


def _place_facts(layer: Layer) -> tuple[Fact, ...]:
    if layer.reads:
        reads = Fact("Reads", layer.reads, href=f"../{layer.reads}/index.html")
    elif layer.index == 0:
        reads = Fact("Reads", "the image")
    else:
        reads = Fact("Reads", "the residual sum", about="residual")
    return (
        reads,
        Fact("Map", f"{wording.pair(layer.output_px)} positions"),
        Fact("Receptive field", f"{layer.receptive_field_px} px", about="field"),
        Fact("Total stride", f"{layer.total_stride_px} px", about="stride"),
        Fact("BatchNorm", layer.batch_norm or "none", about="sigma"),
        Fact("Work up to here", f"{wording.large(layer.macs)} multiply-adds"),
    )


def cover_units(contents: Contents, layer: Layer, n: int) -> tuple[int, ...]:
    """The units whose pictures stand for a layer: alive, and evenly spread."""
    return spread((index for index, entry in _pictured(contents, layer) if not _dead(entry)), n)


def _pictured(contents: Contents, layer: Layer) -> list[tuple[int, Entry]]:
    entries = (
        (index, contents.entry(Unit(layer.name, index), "excitatory"))
        for index in contents.paged[layer.name]
    )
    return [(index, entry) for index, entry in entries if entry]


def _dead(entry: Entry) -> bool:
    return entry.numbers.get("dead") is True


def _head(contents: Contents, layer: Layer) -> Head:
    network = contents.facts.name
    units = wording.count(
        layer.n_units,
        "class" if layer.kind == "classifier" else "unit",
        "classes" if layer.kind == "classifier" else "units",
    )
    return Head(
        title=f"{layer.name} · {network}",
        description=f"What the {units} of {layer.name} in {network} want to see.",
        root="../",
        section="classifier" if layer.kind == "classifier" else "",
    )


def _subtitle(layer: Layer) -> str:
    if layer.kind == "classifier":
        return f"The classifier: {wording.count(layer.n_units, 'class', 'classes')}"
    where = f"block {layer.block}" if layer.block else layer.stage
    units = wording.count(layer.n_units, "unit")
    return f"{wording.pair(layer.kernel)} convolution in {where}: {units}"


def _grid_unit(contents: Contents, layer: Layer, index: int) -> GridUnit:
    unit = Unit(layer.name, index)
    entry = contents.entry(unit, "excitatory")
    score = _score(entry)
    return GridUnit(
        href=f"{unit.slug}.html",
        index=index,
        label=contents.label(layer, index),
        cell=_thumbnail(contents, layer, index) if entry else None,
        score=None if score is None else f"{score:.3f}",
        shown=None if score is None else wording.signed(score, 1),
        dead=entry is not None and _dead(entry),
    )


def _thumbnail(contents: Contents, layer: Layer, index: int) -> Cell:
    place = THUMBS.place(index)
    return Cell(place.sheet, place.column, place.row, picture_alt(contents, layer, index))


def _score(entry: Entry | None) -> float | None:
    numbers = entry.numbers if entry else {}
    values = [numbers[name] for name in ("z_max", "z", "mean", "logit") if name in numbers]
    return float(values[0]) if values else None


def _score_name(layer: Layer) -> str:
    if layer.kind == "classifier":
        return "logit"
    return "σ" if layer.batch_norm else "activation"
