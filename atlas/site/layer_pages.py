"""The page of one layer: its facts, and all its units as a grid of thumbnails."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from atlas import paths
from atlas.kinds.kind import PagePart
from atlas.kinds.natural.whole import units_shown
from atlas.kinds.photographs import KIND as PHOTOGRAPHS
from atlas.sheets import Sprite
from atlas.site import wording
from atlas.site.contents import Contents
from atlas.site.evidence import comparison
from atlas.site.on_demand import links_from_layer
from atlas.site.parts import (
    Card,
    CardPicture,
    Cell,
    Fact,
    Head,
    Link,
    counted_units,
    layer_link,
    own_name,
    picture_alt,
    unit_card_picture,
)
from atlas.site.sections import Placed, SectionTable, SectionView, layer_sections
from atlas.site.sortable import columns_of, presets_of
from atlas.site.sprites import THUMBS
from atlas.units import Layer, Unit
from atlas.vocabulary import MEASURED, score_of, words_of

# Sections of the page itself, in addition to those of the kinds.
OWN_SECTIONS: Mapping[PagePart, tuple[Placed, ...]] = {
    "below": (Placed(1000, "on-demand.html", links_from_layer),)
}
THUMB_WORDS = "excitatory pictures"
N_AT_ONCE = 192  # units that a browser lays out before anything else; more than a screen shows


@dataclass(frozen=True)
class GridUnit:
    """One unit in the grid."""

    href: str
    index: int
    label: str | None
    cell: Cell | None  # None: no excitatory picture yet
    shown: str | None  # the peak response, as the page shows it
    dead: bool


@dataclass(frozen=True)
class ShownNumber:
    """What the number beside each unit of the grid is."""

    noun: str  # "unit"
    plural: str
    term: str  # "peak"
    about: str  # entry of the glossary
    measure: str  # "σ", or empty


@dataclass(frozen=True)
class LayerPage:
    """View of `layer.html`."""

    head: Head
    name: str
    subtitle: str
    facts: tuple[Fact, ...]
    figure: tuple[SectionView, ...]
    comparison: str | None  # median responses of the units, in a sentence
    dead: str | None  # "3 dead units: 4, 17–18"
    below: tuple[SectionView, ...]
    units: tuple[GridUnit, ...]  # the first ones
    more: tuple[GridUnit, ...]  # the others, which a script adds little by little
    shown_number: ShownNumber | None  # None if no unit has one
    absent: tuple[str, ...]  # "48 units not rendered yet: 16–63", and what could not be made
    columns: str  # names of the numbers that the grid can be sorted by
    presets: str  # views of the grid that one press shows
    sheets: str  # the sheets that the grid can show, as `_sheets` lists them
    thumbs: str  # stem of the thumbnail sheets, whose pictures are in the page itself
    has_labels: bool
    previous: Link | None
    next: Link | None


def sections_of(contents: Contents) -> SectionTable:
    """The sections that the pages of layers have."""
    return layer_sections(contents, OWN_SECTIONS)


def layer_view(contents: Contents, sections: SectionTable, layer: Layer) -> LayerPage:
    """The page of one layer."""
    layers, paged = contents.facts.layers, contents.paged[layer.name]
    columns = columns_of(contents, layer)
    units = tuple(_grid_unit(contents, layer.unit(index), layer) for index in paged)

    def views(place: PagePart) -> tuple[SectionView, ...]:
        return sections.views(place, contents, layer)

    return LayerPage(
        head=_head(contents, layer),
        name=layer.name,
        subtitle=_subtitle(layer),
        facts=layer_facts(contents, layer),
        figure=views("figure"),
        comparison=comparison(contents, layer),
        dead=_dead(units),
        below=views("below"),
        units=units[:N_AT_ONCE],
        more=units[N_AT_ONCE:],
        shown_number=_shown_number(layer) if any(unit.shown for unit in units) else None,
        absent=(*_absent(units, layer), *contents.failures_in(layer)),
        columns=";".join(column.label for column in columns),
        presets=";".join(presets_of(contents, layer, columns)),
        sheets=_sheets(contents, layer),
        thumbs=THUMBS.stem,
        has_labels=layer.is_classifier and bool(contents.facts.labels),
        previous=layer_link(layers[layer.index - 1].name, "../") if layer.index else None,
        next=(
            layer_link(layers[layer.index + 1].name, "../")
            if layer.index + 1 < len(layers)
            else None
        ),
    )


def _shown_number(layer: Layer) -> ShownNumber:
    words, score = words_of(layer), score_of(layer)
    return ShownNumber(words.noun, words.plural, score.noun, score.about, score.suffix.strip())


def _absent(units: Sequence[GridUnit], layer: Layer) -> Iterator[str]:
    """Lists of the units without a page, and of the other units without an excitatory picture."""
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


def layer_facts(contents: Contents, layer: Layer) -> tuple[Fact, ...]:
    """A layer's settings as terms and values; groups and dilation of 1 are left out."""
    per_group = layer.in_channels // layer.groups
    if not layer.is_conv:
        return (
            Fact("Weights", wording.pair((layer.n_units, per_group)), about="weights"),
            *_place_facts(contents, layer),
        )
    rows = [
        Fact("Weights", wording.pair((layer.n_units, per_group, *layer.kernel)), about="weights"),
        Fact("Kernel", wording.pair(layer.kernel), about="kernel"),
        Fact("Stride", wording.pair(layer.stride), about="stride"),
        Fact("Padding", wording.pair(layer.padding), about="padding"),
    ]
    if layer.groups > 1:
        one_each = ", one for each channel" if layer.is_depthwise else ""
        rows.append(Fact("Groups", f"{wording.count(layer.groups)}{one_each}", about="groups"))
    if layer.dilation != (1, 1):
        rows.append(Fact("Dilation", wording.pair(layer.dilation), about="dilation"))
    return (*rows, *_place_facts(contents, layer))


JOINED = {
    "concat": "{n}, joined channel by channel",
    "product": "the product of {n}",
    "mixed": "{n}, joined in several ways",
}


def _reads(contents: Contents, layer: Layer) -> Fact:
    """What a layer reads: the image, another layer, or several."""
    if not layer.is_traced:
        return Fact("Reads", "not known")
    inputs = [contents.facts.layer(name) for name in layer.inputs or layer.writers]
    if not inputs:
        return Fact("Reads", "the image")
    if not layer.has_maps and inputs[0].has_maps:
        noun = "pooled channel" if layer.in_channels in _pooled(inputs) else "value"
        return Fact("Reads", wording.count(layer.in_channels, noun))
    if len(inputs) == 1:
        return Fact("Reads", inputs[0].name, href=f"../{paths.layer_page(inputs[0].name)}")
    if layer.merge in ("", "sum"):
        return Fact("Reads", "the residual sum", about="residual")
    return Fact("Reads", JOINED[layer.merge].format(n=wording.count(len(inputs), "layer")))


def _pooled(inputs: Sequence[Layer]) -> tuple[int, int]:
    """How many channels there are if layers are summed, and if they are concatenated."""
    return inputs[0].n_units, sum(layer.n_units for layer in inputs)


def _place_facts(contents: Contents, layer: Layer) -> Iterator[Fact]:
    yield _reads(contents, layer)
    if layer.gates:
        yield Fact("Gated by", ", ".join(layer.gates), about="gate")
    if layer.has_maps:
        field = f"{wording.count(layer.receptive_field_px)} px" if layer.is_traced else "not known"
        yield Fact("Map", wording.positions(layer.output_px), about="map")
        yield Fact("Receptive field", field, about="field")
        yield Fact("Total stride", f"{layer.total_stride_px} px", about="stride")
    if layer.n_calls > 1:
        yield Fact("Used", f"{layer.n_calls} times for an image; what is shown is the first time")
    if layer.batch_norm:
        yield Fact("BatchNorm", layer.batch_norm, about="batchnorm")
    elif not layer.is_classifier:
        yield Fact("σ", MEASURED, about="sigma")
    yield Fact("Computation up to this layer", f"{wording.large(layer.macs)} multiply-adds")


def _dead(units: Sequence[GridUnit]) -> str | None:
    dead = [unit.index for unit in units if unit.dead]
    return (
        f"{wording.count(len(dead), 'dead unit')}: {wording.spell_ranges(dead)}" if dead else None
    )


def _head(contents: Contents, layer: Layer) -> Head:
    network = contents.facts.name
    units = counted_units(layer, layer.n_units)
    return Head(
        title=f"{layer.name} · {network}",
        description=f"What the {units} of {layer.name} in {network} want to see.",
        root="../",
        section="classifier" if layer.is_classifier else "",
        card=Card(paths.layer_page(layer.name), _card_picture(contents, layer)),
    )


def _card_picture(contents: Contents, layer: Layer) -> CardPicture | None:
    """The picture that represents a layer, or else the first picture of its units."""
    kind = contents.cover_kind
    cover = contents.entry(layer.whole, kind) if kind else None
    if kind and cover:
        size_px = cover.width_px, cover.height_px
        alt = kind.layer_alt.format(layer=layer.name)
        return CardPicture(paths.layer_cover(layer.name), size_px, alt)
    alive = (unit for unit in contents.pictured(layer) if not contents.is_dead(unit))
    first = next(alive, None)
    return unit_card_picture(contents, first) if first else None


def _subtitle(layer: Layer) -> str:
    return words_of(layer).layer_subtitle.format(
        kernel=wording.kernel(layer),
        where=f"block {layer.block}" if layer.block else layer.stage,
        units=counted_units(layer, layer.n_units),
    )


def _sheets(contents: Contents, layer: Layer) -> str:
    """The sheets that the grid can show: `thumbs:6:1:excitatory pictures;filters:5:2:weights`.

    Each has its stem, cells per row, width over height of a cell, and what it shows. The grid
    begins with the first: excitatory pictures, or photographs or weights as long as there are none.
    """
    kinds = [kind for kind in contents.kinds if kind.sheet and kind.sheet_words]
    kinds.sort(key=lambda kind: kind.order)
    sprites: list[tuple[str, str, Sprite]] = []
    for kind in kinds:
        each = (contents.sprite(layer, index, kind) for index in contents.paged[layer.name])
        sprite = next((sprite for sprite in each if sprite), None)
        if sprite and kind.sheet:
            sprites.append((kind.sheet.stem, kind.sheet_words, sprite))
    shown = [_sheet(stem, words, sprite) for stem, words, sprite in sprites]
    if units_shown(contents, layer):
        shown.append(f"{PHOTOGRAPHS.name}:1:1:photographs")  # no sheets: parts of whole ones
    if not contents.pictured(layer):
        return ";".join(reversed(shown))
    return ";".join([f"{THUMBS.stem}:{THUMBS.columns}:1:{THUMB_WORDS}", *shown])


def _sheet(stem: str, words: str, sprite: Sprite) -> str:
    width, height = sprite.cell_px
    return f"{stem}:{sprite.columns}:{width / height:.4g}:{words}"


def _grid_unit(contents: Contents, unit: Unit, layer: Layer) -> GridUnit:
    record = contents.excitatory(unit)
    peak = record.peak if record else None
    return GridUnit(
        href=own_name(unit, paths.unit_page(unit)),
        index=unit.index,
        label=contents.label(layer, unit.index),
        cell=_thumbnail(contents, layer, unit.index) if record else None,
        shown=None if peak is None else wording.signed(peak, 1),
        dead=contents.is_dead(unit),
    )


def _thumbnail(contents: Contents, layer: Layer, index: int) -> Cell:
    place = THUMBS.place(index)
    return Cell(place.sheet, place.column, place.row, picture_alt(contents, layer, index))
