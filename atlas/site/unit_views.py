"""The page of one unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from atlas.cache import Entry
from atlas.site import wording
from atlas.site.sprites import FILTERS
from atlas.site.views import (
    Contents,
    Fact,
    Head,
    Link,
    layer_link,
    picture_alt,
    unit_link,
)
from atlas.units import Layer, Unit

COLUMN_PX = 538
MATRIX_COLUMNS = range(2, 9)  # widths that the style sheet lays out as a matrix


@dataclass(frozen=True)
class ScaleBar:
    """The receptive field at the scale of the picture, like the bar of a map."""

    words: str
    percent: str | None  # of the picture's width; None: larger than the picture


@dataclass(frozen=True)
class Picture:
    """The excitatory picture and what is said of it."""

    src: str
    alt: str
    shown_px: int
    caption: str
    scale: ScaleBar | None


@dataclass(frozen=True)
class Guess:
    """One of the classes that the network sees in a class's picture."""

    link: Link
    share: str
    bar: str  # percent of the bar's width, as SVG wants it
    own: bool


@dataclass(frozen=True)
class Weight:
    """An input channel and the weight it is read with."""

    text: str
    href: str | None
    weight: str


@dataclass(frozen=True)
class Crop:
    """A picture cut out of a sheet, in the sheet's pixels."""

    src: str
    view_box: str
    sheet_px: tuple[int, int]
    alt: str


@dataclass(frozen=True)
class Filter:
    """The picture of a unit's weights and its legend."""

    crop: Crop
    caption: str
    low: str | None  # ends of the colour scale, where colours stand for numbers
    high: str | None
    reads: Link | None
    inputs: tuple[Link, ...]
    matrix: int | None  # columns of `inputs` as in the picture
    positive: tuple[Weight, ...]
    negative: tuple[Weight, ...]


@dataclass(frozen=True)
class UnitPage:
    """View of `unit.html`."""

    head: Head
    heading: str
    subtitle: str
    layer: Link
    picture: Picture | None
    facts: tuple[Fact, ...]
    finding: str | None  # what the numbers mean, in a sentence
    dead: bool
    guesses: tuple[Guess, ...]
    filter: Filter | None
    recipe: str
    size: str | None
    previous: Link | None
    next: Link | None


def unit_view(contents: Contents, layer: Layer, position: int) -> UnitPage:
    """The page of the unit at `position` among the layer's units that have a page."""
    paged = contents.paged[layer.name]
    unit = Unit(layer.name, paged[position])
    excitatory = contents.entry(unit, "excitatory")
    weights = contents.entry(unit, "filter")
    numbers = excitatory.numbers if excitatory else {}
    title = contents.title(layer, unit.index)
    return UnitPage(
        head=_head(contents, layer, unit),
        heading=title,
        subtitle=_subtitle(layer, unit),
        layer=layer_link(layer.name, "../"),
        picture=_picture(contents, layer, unit, excitatory) if excitatory else None,
        facts=_facts(layer, numbers),
        finding=_finding(layer, numbers),
        dead=numbers.get("dead") is True,
        guesses=_guesses(contents, layer, unit, numbers),
        filter=_filter(contents, layer, unit, weights) if weights else None,
        recipe=_recipe(contents, layer),
        size=_size(excitatory) if excitatory else None,
        previous=_neighbour(contents, layer, position - 1),
        next=_neighbour(contents, layer, position + 1),
    )


def _head(contents: Contents, layer: Layer, unit: Unit) -> Head:
    title, network = contents.title(layer, unit.index), contents.facts.name
    what = f"the class “{title}”" if layer.kind == "classifier" else f"channel {unit.index}"
    return Head(
        title=f"{title} · {layer.name} · {network}",
        description=f"What {what} of {layer.name} in {network} wants to see, and its weights.",
        root="../",
    )


def _subtitle(layer: Layer, unit: Unit) -> str:
    if layer.kind == "classifier":
        return f"class {unit.index} of {wording.count(layer.n_units)}, numbered from 0"
    kernel = wording.pair(layer.kernel)
    return f"channel {unit.index} of {wording.count(layer.n_units)}, {kernel} convolution"


def _picture(contents: Contents, layer: Layer, unit: Unit, entry: Entry) -> Picture:
    return Picture(
        src=f"{unit.slug}.webp",
        alt=picture_alt(contents, layer, unit.index),
        shown_px=_shown_px(entry.width_px),
        caption=f"Excitatory picture: synthesised from noise to excite this unit; {_size(entry)}",
        scale=None if layer.kind == "classifier" else _scale(layer, entry.width_px),
    )


def _shown_px(width_px: int) -> int:
    """Small pictures grow to the width of their column, but never more than fourfold."""
    return max(width_px, min(4 * width_px, COLUMN_PX))


def _scale(layer: Layer, width_px: int) -> ScaleBar:
    field_px = layer.receptive_field_px
    if field_px >= width_px:
        return ScaleBar(f"receptive field {field_px} px, more than the picture", None)
    return ScaleBar(f"receptive field {field_px} px", f"{100 * field_px / width_px:.1f}")


def _facts(layer: Layer, numbers: dict[str, Any]) -> tuple[Fact, ...]:
    facts = []
    if "z" in numbers:
        peak = numbers.get("z_max", numbers["z"])
        facts.append(Fact("Peak activation", f"{wording.signed(peak)} σ", about="sigma"))
    if "mean" in numbers:
        facts.append(Fact("Activation", wording.signed(numbers["mean"]), about="unit"))
    if "logit" in numbers:
        facts.append(Fact("Logit", wording.signed(numbers["logit"]), about="logit"))
    if "p" in numbers:
        facts.append(Fact("Probability", wording.percent(numbers["p"])))
    if "rank" in numbers:
        rank = f"{numbers['rank'] + 1} of {wording.count(layer.n_units)}"
        facts.append(Fact("Rank of this class", rank))
    return tuple(facts)


def _finding(layer: Layer, numbers: dict[str, Any]) -> str | None:
    if "z" in numbers:
        start = numbers.get("z_start")
        before = "" if start is None else f", and was {wording.signed(start)} σ on the first noise"
        peak = numbers.get("z_max", numbers["z"])
        return (
            f"At its strongest position this picture drives the channel {wording.signed(peak, 1)} "
            "σ from its average over the training images. "
            f"The mean over the picture is {wording.signed(numbers['z'])} σ{before}."
        )
    for name, noun in (("mean", "mean activation"), ("logit", "logit")):
        if name in numbers and f"{name}_start" in numbers:
            start, end = (wording.signed(numbers[key]) for key in (f"{name}_start", name))
            return f"The ascent raised the {noun} from {start} on noise to {end}."
    return None


def _guesses(
    contents: Contents, layer: Layer, unit: Unit, numbers: dict[str, Any]
) -> tuple[Guess, ...]:
    return tuple(
        Guess(
            unit_link(contents, layer.name, index, contents.title(layer, index), "../"),
            wording.percent(share),
            f"{100 * share:.1f}",
            index == unit.index,
        )
        for index, share in numbers.get("top5", ())
    )


def _filter(contents: Contents, layer: Layer, unit: Unit, entry: Entry) -> Filter:
    numbers = entry.numbers
    montage = numbers.get("style") == "montage"
    coloured = montage and "low" in numbers and "high" in numbers
    columns = numbers.get("columns")
    reads = contents.pages.get(layer.reads or "", {})
    # The slices of a montage are linked in their matrix: a page must stay small.
    weighed = {} if montage else reads
    return Filter(
        crop=_crop(contents, layer, unit, entry),
        caption=_filter_caption(layer, numbers),
        low=wording.weight(numbers["low"]) if coloured else None,
        high=wording.weight(numbers["high"]) if coloured else None,
        reads=layer_link(layer.reads, "../") if layer.reads else None,
        inputs=_inputs(reads, numbers["inputs"]) if montage and "inputs" in numbers else (),
        matrix=columns if columns in MATRIX_COLUMNS else None,
        positive=_weights(weighed, numbers.get("positive", ()), montage),
        negative=_weights(weighed, numbers.get("negative", ()), montage),
    )


def _crop(contents: Contents, layer: Layer, unit: Unit, entry: Entry) -> Crop:
    place = FILTERS.place(unit.index)
    width, height = contents.filter_cells[layer.name, place.sheet]
    size = f"{entry.width_px} {entry.height_px}"
    return Crop(
        src=place.sheet,
        view_box=f"{place.column * width} {place.row * height} {size}",
        sheet_px=(FILTERS.columns * width, FILTERS.columns * height),
        alt=f"Filter weights of {unit.id}",
    )


def _filter_caption(layer: Layer, numbers: dict[str, Any]) -> str:
    kernel, style = wording.pair(layer.kernel), numbers.get("style")
    n_inputs = layer.in_channels // layer.groups
    low, high = (wording.weight(numbers.get(end, 0.0)) for end in ("low", "high"))
    if style == "rgb":
        return f"The {kernel} kernel in the colours it weighs; black is {low}, white {high}."
    if style == "bars":
        return f"The weights of all {wording.count(n_inputs)} inputs, sorted, {high} to {low}."
    n_shown = len(numbers.get("inputs", ()))
    if 0 < n_shown < n_inputs:
        return f"The {n_shown} strongest of {wording.count(n_inputs)} slices, {kernel} each."
    return f"All {kernel} slices of the kernel."


def _inputs(pages: Mapping[int, str], indices: Sequence[int]) -> tuple[Link, ...]:
    return tuple(Link(str(index), _up(pages.get(index))) for index in indices)


def _weights(
    pages: Mapping[int, str], pairs: Sequence[tuple[int, float]], few: bool
) -> tuple[Weight, ...]:
    return tuple(
        Weight(str(index), _up(pages.get(index)), wording.weight(value))
        for index, value in pairs[: 3 if few else None]
    )


def _up(page: str | None) -> str | None:
    return f"../{page}" if page else None


def _recipe(contents: Contents, layer: Layer) -> str:
    recipe, spec = contents.spec.layers.get(layer.name, {}), contents.spec
    version = f" {recipe['version']}" if "version" in recipe else ""
    return f"{recipe.get('name', spec.recipe)}{version}, {spec.preset}"


def _size(entry: Entry) -> str:
    return f"{entry.width_px} × {entry.height_px} px"


def _neighbour(contents: Contents, layer: Layer, position: int) -> Link | None:
    paged = contents.paged[layer.name]
    if not 0 <= position < len(paged):
        return None
    unit = layer.unit(paged[position])
    return Link(contents.label(layer, unit.index) or str(unit.index), f"{unit.slug}.html")
