"""The page of one unit."""

from __future__ import annotations

from typing import Any, NamedTuple

from atlas.cache import Entry
from atlas.site import wording
from atlas.site.circuit_views import Circuit, circuit_of
from atlas.site.companions import Companion, companions_of
from atlas.site.evidence import SIGMAS, Evidence, evidence_of, scale_of
from atlas.site.example_views import Examples, examples_of
from atlas.site.filter_views import Filter, filter_view
from atlas.site.similar_views import Similar, similar_to
from atlas.site.tuning_views import Tuning, tuning_of
from atlas.site.views import (
    Card,
    Contents,
    Fact,
    Head,
    Link,
    is_dead,
    picture_alt,
    unit_link,
)
from atlas.spec import SMALL_PX
from atlas.units import Layer, Unit, picture_path, unit_page

COLUMN_PX = 538
LEAST_PX = 256  # however small a picture is, it is the largest on its page


class ScaleBar(NamedTuple):
    """The receptive field at the scale of the picture, like the bar of a map."""

    words: str
    percent: str | None  # of the picture's width; None: larger than the picture


class Picture(NamedTuple):
    """The excitatory picture and what is said of it."""

    src: str
    alt: str
    shown_px: int
    pixelated: bool
    caption: str
    scale: ScaleBar | None


class Guess(NamedTuple):
    """One of the classes that the network sees in a class's picture."""

    link: Link
    share: str
    bar: str  # percent of the bar's width, as SVG wants it
    own: bool


class UnitPage(NamedTuple):
    """View of `unit.html`."""

    head: Head
    id: str
    heading: str
    subtitle: str
    layer: Link
    picture: Picture | None
    companions: tuple[Companion, ...]  # the unit's other pictures
    facts: tuple[Fact, ...]
    finding: str | None  # what the numbers mean, in a sentence
    evidence: Evidence | None
    examples: Examples | None
    tuning: Tuning | None
    dead: bool
    guesses: tuple[Guess, ...]
    filter: Filter | None
    circuit: Circuit | None
    similar: Similar | None
    recipe: str
    size: str | None
    previous: Link | None
    next: Link | None


def unit_view(contents: Contents, layer: Layer, position: int) -> UnitPage:
    """The page of the unit at `position` among the layer's units that have a page."""
    paged = contents.paged[layer.name]
    unit = layer.unit(paged[position])
    excitatory = contents.entry(unit, "excitatory")
    numbers = excitatory.numbers if excitatory else {}
    title = contents.title(layer, unit.index)
    return UnitPage(
        head=_head(contents, layer, unit),
        id=unit.id,
        heading=title,
        subtitle=_subtitle(layer, unit),
        layer=Link(layer.name, "index.html"),
        picture=_picture(contents, layer, unit, excitatory) if excitatory else None,
        companions=companions_of(contents, layer, unit),
        facts=_facts(layer, numbers),
        finding=_finding(numbers),
        evidence=evidence_of(contents, layer, unit),
        examples=examples_of(contents, layer, unit),
        tuning=tuning_of(contents, layer, unit),
        dead=is_dead(excitatory),
        guesses=_guesses(contents, layer, unit, numbers),
        filter=filter_view(contents, layer, unit),
        circuit=circuit_of(contents, layer, unit),
        similar=similar_to(contents, layer, unit),
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
        card=_card(contents, layer, unit),
    )


def _card(contents: Contents, layer: Layer, unit: Unit) -> Card | None:
    """People pass on classes, and 26,560 channels must stay small."""
    if layer.kind != "classifier":
        return None
    pictured = contents.entry(unit, "excitatory") is not None
    return Card(unit_page(unit), picture_path(unit) if pictured else None)


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
        pixelated=entry.width_px < SMALL_PX,
        caption=f"Excitatory picture: synthesised from noise to excite this unit; {_size(entry)}",
        scale=None if layer.kind == "classifier" else _scale(layer, entry.width_px),
    )


def _shown_px(width_px: int) -> int:
    """Small pictures grow to the width of their column, but hardly more than fourfold."""
    return max(width_px, min(max(4 * width_px, LEAST_PX), COLUMN_PX))


def _scale(layer: Layer, width_px: int) -> ScaleBar:
    field_px = layer.receptive_field_px
    if field_px >= width_px:
        return ScaleBar(f"receptive field {field_px} px, more than the picture", None)
    return ScaleBar(f"receptive field {field_px} px", f"{100 * field_px / width_px:.1f}")


def _facts(layer: Layer, numbers: dict[str, Any]) -> tuple[Fact, ...]:
    scale, facts = scale_of(layer), []
    peak = scale.high(numbers)
    if peak is not None:
        is_class = layer.kind == "classifier"
        term, about = ("Logit", "logit") if is_class else ("Peak activation", "sigma")
        facts.append(Fact(term, scale.spell(peak), about=about))
    if "p" in numbers:
        facts.append(Fact("Probability", wording.percent(numbers["p"]), about="probability"))
    if "rank" in numbers:
        rank = f"{numbers['rank'] + 1} of {wording.count(layer.n_units)}"
        facts.append(Fact("Rank of this class", rank))
    return tuple(facts)


def _finding(numbers: dict[str, Any]) -> str | None:
    if "z" in numbers:
        before = (
            f", and was {SIGMAS.spell(numbers['z_start'])} on the first noise"
            if "z_start" in numbers
            else ""
        )
        return f"The mean over the picture is {SIGMAS.spell(numbers['z'])}{before}."
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
