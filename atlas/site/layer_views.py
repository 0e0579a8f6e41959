"""The page of one layer: its facts, and all its units as a grid of thumbnails."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from atlas.cache import Entry
from atlas.site import wording
from atlas.site.companions import agreement
from atlas.site.evidence import comparison, scale_of
from atlas.site.sortable import columns_of
from atlas.site.sprites import EXAMPLES, OF_OWN_SIZE, THUMBS
from atlas.site.views import (
    Card,
    Cell,
    Contents,
    Crop,
    Fact,
    Head,
    Link,
    crop_of,
    is_dead,
    layer_link,
    picture_alt,
    spread,
)
from atlas.spec import SMALL_PX, twin_indices
from atlas.units import Kind, Layer, Unit, cover_path, layer_dir

DREAM_PX = 384  # as wide as it is shown
GRID_KINDS: tuple[Kind, ...] = ("inhibitory", "filter")  # beside the thumbnails


@dataclass(frozen=True)
class GridUnit:
    """One unit in the grid."""

    href: str
    index: int
    label: str | None
    cell: Cell | None  # None: no excitatory picture yet
    values: str  # to sort by, as sortable.py says
    shown: str | None  # the first of them, as people read it
    dead: bool


@dataclass(frozen=True)
class Dream:
    """The picture for all units at once."""

    src: str
    alt: str
    shown_px: int
    pixelated: bool
    words: str


@dataclass(frozen=True)
class Pair:
    """A unit's pictures from two seeds."""

    href: str
    name: str
    first: str | None  # path of the excitatory picture
    alt: str
    pixelated: bool
    second: Crop
    words: str


@dataclass(frozen=True)
class LayerPage:
    """View of `layer.html`."""

    head: Head
    name: str
    subtitle: str
    facts: tuple[Fact, ...]
    dream: Dream | None
    comparison: str | None  # what drives the units how far, in a sentence
    dead: str | None  # "3 dead units: 4, 17–18"
    pairs: tuple[Pair, ...]
    units: tuple[GridUnit, ...]
    absent: tuple[str, ...]  # "48 units not rendered yet: 16–63"
    columns: str  # what the grid can be sorted by
    sheets: str  # what it can show: stem, columns and shape of the cells of each sheet
    has_labels: bool
    previous: Link | None
    next: Link | None


def layer_view(contents: Contents, layer: Layer) -> LayerPage:
    """The page of one layer."""
    layers, paged = contents.facts.layers, contents.paged[layer.name]
    columns, values = columns_of(contents, layer)
    units = tuple(_grid_unit(contents, layer.unit(index), layer, values) for index in paged)
    position = layers.index(layer)
    return LayerPage(
        head=_head(contents, layer),
        name=layer.name,
        subtitle=_subtitle(layer),
        facts=layer_facts(layer),
        dream=_dream(contents, layer),
        comparison=comparison(contents, layer),
        dead=_dead(units),
        pairs=_pairs(contents, layer),
        units=units,
        absent=tuple(_absent(units, layer)),
        columns=";".join(columns),
        sheets=_sheets(contents, layer),
        has_labels=layer.kind == "classifier" and bool(contents.facts.labels),
        previous=layer_link(layers[position - 1].name, "../") if position else None,
        next=layer_link(layers[position + 1].name, "../") if position + 1 < len(layers) else None,
    )


def _absent(units: Sequence[GridUnit], layer: Layer) -> Iterator[str]:
    """Which units have no page yet, and which of the others no excitatory picture."""
    paged = {unit.index for unit in units}
    unpaged = [index for index in range(layer.n_units) if index not in paged]
    blank = [unit.index for unit in units if not unit.cell]
    for indices, words in (
        (unpaged, "not rendered yet"),
        (blank, "without an excitatory picture yet"),
    ):
        if indices:
            n_units = wording.count(len(indices), "unit")
            yield f"{n_units} {words}: {wording.spell_ranges(indices)}"


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
    return spread((index for index, entry in _pictured(contents, layer) if not is_dead(entry)), n)


def _pictured(contents: Contents, layer: Layer) -> list[tuple[int, Entry]]:
    entries = (
        (index, contents.entry(layer.unit(index), "excitatory"))
        for index in contents.paged[layer.name]
    )
    return [(index, entry) for index, entry in entries if entry]


def _dead(units: Iterable[GridUnit]) -> str | None:
    dead = [unit.index for unit in units if unit.dead]
    return (
        f"{wording.count(len(dead), 'dead unit')}: {wording.spell_ranges(dead)}" if dead else None
    )


def _dream(contents: Contents, layer: Layer) -> Dream | None:
    entry = contents.entry(layer.whole, "dream")
    if entry is None:
        return None
    return Dream(
        src=cover_path(layer.name).rpartition("/")[2],
        alt=dream_alt(layer),
        shown_px=DREAM_PX,
        pixelated=entry.width_px < SMALL_PX,
        words=_dream_words(layer, entry),
    )


def dream_alt(layer: Layer) -> str:
    """What a layer's dream is, in words for those who do not see it."""
    return f"Synthetic picture that excites all of {layer.name} at once"


def _dream_words(layer: Layer, entry: Entry) -> str:
    units = "classes" if layer.kind == "classifier" else "units"
    words = f"excites all {units} of the layer at once"
    ends = [entry.numbers[name] for name in ("rms_start", "rms") if name in entry.numbers]
    if len(ends) < 2:
        return words
    start, end = (f"{wording.plain(value)}{scale_of(layer).unit}" for value in ends)
    return f"{words}: from {start} on noise to {end}, root mean square"


def _pairs(contents: Contents, layer: Layer) -> tuple[Pair, ...]:
    found = (_pair(contents, layer, layer.unit(index)) for index in twin_indices(layer))
    return tuple(pair for pair in found if pair)


def _pair(contents: Contents, layer: Layer, unit: Unit) -> Pair | None:
    twin, sprite = contents.entry(unit, "twin"), contents.sprite(layer, unit.index, "twin")
    if twin is None or sprite is None:
        return None
    alt = picture_alt(contents, layer, unit.index)
    return Pair(
        href=f"{unit.slug}.html",
        name=contents.title(layer, unit.index),
        first=f"{unit.slug}.webp" if contents.entry(unit, "excitatory") else None,
        alt=alt,
        pixelated=twin.width_px < SMALL_PX,
        second=crop_of(sprite, f"{alt}, from a second seed"),
        words=agreement(twin.numbers) or "",
    )


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
        card=Card(
            f"{layer_dir(layer.name)}/index.html",
            cover_path(layer.name) if contents.entry(layer.whole, "dream") else None,
        ),
    )


def _subtitle(layer: Layer) -> str:
    if layer.kind == "classifier":
        return f"The classifier: {wording.count(layer.n_units, 'class', 'classes')}"
    where = f"block {layer.block}" if layer.block else layer.stage
    units = wording.count(layer.n_units, "unit")
    return f"{wording.pair(layer.kernel)} convolution in {where}: {units}"


def _sheets(contents: Contents, layer: Layer) -> str:
    """`thumbs:6:1 filters:5:2`: of each sheet its cells in a row, and their width over height.

    The first is what the grid shows at first: excitatory pictures; before there are any,
    photographs, or else weights.
    """
    shown: dict[str, str] = {}
    for index in contents.paged[layer.name]:
        sprites = {
            OF_OWN_SIZE[kind].stem: contents.sprite(layer, index, kind) for kind in GRID_KINDS
        }
        sprites[EXAMPLES.stem] = contents.strip(layer, index)
        for stem, sprite in sprites.items():
            if sprite and stem not in shown:
                width, height = sprite.cell_px
                shown[stem] = f"{sprite.columns}:{width / height:.4g}"
    order = [*(OF_OWN_SIZE[kind].stem for kind in GRID_KINDS), EXAMPLES.stem]
    if _pictured(contents, layer):
        order, shown[THUMBS.stem] = [THUMBS.stem, *order], f"{THUMBS.columns}:1"
    else:
        order.reverse()
    return " ".join(f"{stem}:{shown[stem]}" for stem in order if stem in shown)


def _grid_unit(
    contents: Contents, unit: Unit, layer: Layer, values: Callable[[Unit], str]
) -> GridUnit:
    index = unit.index
    entry = contents.entry(unit, "excitatory")
    score = scale_of(layer).high(entry.numbers) if entry else None
    return GridUnit(
        href=f"{unit.slug}.html",
        index=index,
        label=contents.label(layer, index),
        cell=_thumbnail(contents, layer, index) if entry else None,
        values=values(unit),
        shown=None if score is None else wording.signed(score, 1),
        dead=is_dead(entry),
    )


def _thumbnail(contents: Contents, layer: Layer, index: int) -> Cell:
    place = THUMBS.place(index)
    return Cell(place.sheet, place.column, place.row, picture_alt(contents, layer, index))
