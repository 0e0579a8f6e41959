"""The page of one unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from atlas import paths
from atlas.kinds.kind import PagePart
from atlas.site import wording
from atlas.site.contents import Contents
from atlas.site.evidence import evidence_view
from atlas.site.on_demand import links_from_unit
from atlas.site.parts import (
    Card,
    Head,
    Link,
    own_name,
    stage_anchor,
    unit_card_picture,
    unit_heading,
)
from atlas.site.sections import Placed, SectionTable, SectionView, unit_sections
from atlas.site.verdict import verdict_view
from atlas.units import Layer, Unit
from atlas.vocabulary import words_of

# Sections of the page itself, in addition to those of the kinds.
OWN_SECTIONS: Mapping[PagePart, tuple[Placed, ...]] = {
    "lead": (Placed(0, "verdict.html", verdict_view),),
    "notes": (Placed(20, "evidence.html", evidence_view),),
    "below": (Placed(1000, "on-demand.html", links_from_unit),),
}


class UnitPage(NamedTuple):
    """View of `unit.html`."""

    head: Head
    id: str
    name: str  # in citations and frames: "Channel 2 of layer1.0.conv2 in ResNet-50"
    heading: str
    subtitle: str
    noun: str  # at its beginning, an entry of the glossary; may be empty
    term: str  # at the end of the subtitle, which the glossary explains; may be empty
    term_about: str  # its entry
    failures: tuple[str, ...]  # what could not be made of it
    places: tuple[Link, ...]  # that the layer is in, from large to small
    layer: Link
    lead: tuple[SectionView, ...]
    picture: tuple[SectionView, ...]
    companions: tuple[SectionView, ...]  # the unit's other pictures
    gallery: tuple[SectionView, ...]
    notes: tuple[SectionView, ...]
    below: tuple[SectionView, ...]
    recipe: str
    previous: Link | None
    next: Link | None


def sections_of(contents: Contents) -> SectionTable:
    """The sections that the pages of units have."""
    return unit_sections(contents, OWN_SECTIONS)


def unit_view(contents: Contents, sections: SectionTable, layer: Layer, position: int) -> UnitPage:
    """The page of the unit at `position` among the layer's units that have a page."""
    paged = contents.paged[layer.name]
    unit = layer.unit(paged[position])

    def views(place: PagePart) -> tuple[SectionView, ...]:
        return sections.views(place, contents, layer, unit)

    return UnitPage(
        head=_head(contents, layer, unit),
        id=unit.id,
        name=_name(_what(contents, layer, unit)),
        heading=unit_heading(contents, layer, unit.index),
        subtitle=_subtitle(layer, unit),
        noun=_noun(layer),
        term="" if layer.is_classifier else words_of(layer).layer,
        term_about="convolution" if layer.is_conv else "layer",
        failures=contents.failures.get(unit.id, ()),
        places=_places(contents, layer),
        layer=Link(layer.name, own_name(unit, paths.layer_page(layer.name))),
        lead=views("lead"),
        picture=views("picture"),
        companions=views("companions"),
        gallery=views("gallery"),
        notes=views("notes"),
        below=views("below"),
        recipe=_recipe(contents, layer),
        previous=_neighbour(contents, layer, position - 1),
        next=_neighbour(contents, layer, position + 1),
    )


def _places(contents: Contents, layer: Layer) -> tuple[Link, ...]:
    front = f"../{paths.INDEX}"
    anchor = stage_anchor(contents.facts.layers, layer)
    return (Link("The network", front), Link(layer.stage, f"{front}#{anchor}"))


def _head(contents: Contents, layer: Layer, unit: Unit) -> Head:
    title, network = contents.title(layer, unit.index), contents.facts.name
    return Head(
        title=f"{title} · {layer.name} · {network}",
        description=f"What {_what(contents, layer, unit)} wants to see.",
        root="../",
        card=Card(paths.unit_page(unit), unit_card_picture(contents, unit)),
    )


def _what(contents: Contents, layer: Layer, unit: Unit) -> str:
    """A unit in a sentence, with its layer and network."""
    title = contents.title(layer, unit.index)
    what = words_of(layer).unit.format(index=unit.index, title=title)
    return f"{what} of {layer.name} in {contents.facts.name}"


def _name(what: str) -> str:
    return what[0].upper() + what[1:]


def _noun(layer: Layer) -> str:
    """The word that the subtitle of a unit's page begins with, if the glossary has it."""
    if layer.is_classifier:
        return ""
    return "channel" if layer.has_maps else "unit"


def _subtitle(layer: Layer, unit: Unit) -> str:
    words = words_of(layer)
    subtitle = words.unit_subtitle.format(
        index=unit.index,
        count=wording.count(layer.n_units),
        kernel=wording.kernel(layer),
    )
    return f"{subtitle}, in the {words.layer} {layer.name}" if layer.is_classifier else subtitle


def _recipe(contents: Contents, layer: Layer) -> str:
    recipe, spec = contents.spec.layers.get(layer.name, {}), contents.spec
    version = f" {recipe['version']}" if "version" in recipe else ""
    return f"{recipe.get('name', spec.recipe)}{version}, {spec.preset}"


def _neighbour(contents: Contents, layer: Layer, position: int) -> Link | None:
    paged = contents.paged[layer.name]
    if not 0 <= position < len(paged):
        return None
    unit = layer.unit(paged[position])
    text = contents.label(layer, unit.index) or str(unit.index)
    return Link(text, own_name(unit, paths.unit_page(unit)))
