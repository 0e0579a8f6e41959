"""What a unit is called and why: on its page, in the data files, and for the search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from atlas.kinds.circuit import KIND as CIRCUIT
from atlas.kinds.names import KIND, ConceptFit, NamesRecord
from atlas.kinds.names.description import Preference, preferences
from atlas.kinds.tuning import KIND as TUNING
from atlas.site import wording
from atlas.site.contents import Contents
from atlas.text import enumerated
from atlas.units import Layer, Unit

N_CLASSES = 2  # that a unit speaks for most, of which there are words
LEAST_P = 0.001  # smaller ones are not spelled out

NamedBy = Literal["hand", "machine"]


class Name(NamedTuple):
    """What a unit is called."""

    text: str
    synonyms: tuple[str, ...]
    by: NamedBy
    auc: float | None  # None of a name that was given by hand


class DescriptionView(NamedTuple):
    """How a unit's name was found, and what follows from its weights."""

    name: str | None  # the name that was found
    fit: str  # how well photographs fit it, or why there is none; empty if there were none
    others: str  # what its weights say, in a sentence


def name_of(contents: Contents, layer: Layer, index: int) -> Name | None:
    """The name of a unit: the one given by hand, or the concept that it was found to tell."""
    if given := contents.given_names.get(layer.unit(index).id):
        return Name(given, (), "hand", None)
    record = contents.layer_record(layer, KIND)
    fit = record.fit(index) if record else None
    return Name(fit.concept, fit.words, "machine", fit.auc) if fit and fit.is_name else None


def names_of(contents: Contents, layer: Layer) -> list[Name | None]:
    """The names of all units of a layer."""
    if not contents.given_names and contents.layer_record(layer, KIND) is None:
        return [None] * layer.n_units
    return [name_of(contents, layer, index) for index in range(layer.n_units)]


def names_in(contents: Contents, layer: Layer) -> list[str | None]:
    """What the units of a layer are called: classes by their labels, others by their names."""
    return [
        contents.label(layer, index) or (name.text if name else None)
        for index, name in enumerate(names_of(contents, layer))
    ]


def preferences_of(contents: Contents, layer: Layer, index: int) -> tuple[Preference, ...]:
    """What a unit prefers among drawn stimuli; nothing of classes, whose logits have no scale."""
    record = contents.layer_record(layer, TUNING)
    return () if record is None or layer.is_classifier else preferences(record, index)


def description_of(contents: Contents, layer: Layer, index: int) -> str:
    """What was measured of a unit, in sentences; empty if nothing was."""
    if not contents.made_in[layer.name]:
        return ""
    view = _view(contents, layer, index)
    told = f"Tells “{view.name}” from other photographs: " if view.name else ""
    preferred = _preferred(preferences_of(contents, layer, index))
    parts = (f"{told}{view.fit}", preferred, view.others)
    return " ".join(part for part in parts if part)


def brief(contents: Contents, layer: Layer, index: int) -> str:
    """What a unit is, in a word or two: its class, its name or what it prefers; else empty."""
    if label := contents.label(layer, index):
        return label
    if name := name_of(contents, layer, index):
        return name.text
    preferred = preferences_of(contents, layer, index)
    return preferred[0].words[0] if preferred else ""


def story(contents: Contents, layer: Layer, index: int) -> str:
    """What a unit was found to do, in a plain sentence for somebody who knows no term."""
    if label := contents.label(layer, index):
        record = contents.excitatory(layer.unit(index))
        sure = f", with {wording.percent(record.p)}" if record and record.p is not None else ""
        return f"Shown this picture, the network answers “{label}”{sure}."
    preferred = [each.phrase for each in preferences_of(contents, layer, index)]
    liked = f"Of drawn patterns, it prefers {enumerated(preferred)}." if preferred else ""
    if name := name_of(contents, layer, index):
        called = f"Photographs of “{name.text}” drive it harder than others do."
        given = f"People call it “{name.text}”."
        return f"{given if name.by == 'hand' else called} {liked}".strip()
    return liked or "No simple pattern and no name fits it: look at the picture."


def section_view(contents: Contents, layer: Layer, unit: Unit) -> DescriptionView | None:
    """How a unit was named and what its weights say, None if there is nothing to say."""
    view = _view(contents, layer, unit.index)
    return view if any(view) else None


def _view(contents: Contents, layer: Layer, index: int) -> DescriptionView:
    others = _speaks_for(_classes(contents, layer, index))
    record = contents.layer_record(layer, KIND)
    if record is None or (fit := record.fit(index)) is None:
        return DescriptionView(None, "", others)
    return DescriptionView(fit.concept if fit.is_name else None, _words(record, fit), others)


def _preferred(preferred: Sequence[Preference]) -> str:
    if not preferred:
        return ""
    return f"Of drawn stimuli, it prefers {enumerated([each.phrase for each in preferred])}."


def _speaks_for(classes: Sequence[str]) -> str:
    return f"By its weights, it speaks for {enumerated(classes)}." if classes else ""


def _words(record: NamesRecord, fit: ConceptFit) -> str:
    """`AUC 0.97 over 19 of 1,000 photographs, p < 0.001.`, or why the unit has no name."""
    images = wording.count(record.n_images, "photograph")
    found = f"AUC {fit.auc:.2f} over {wording.count(fit.n_images)} of {images}, {_p(fit.p)}"
    if fit.is_name:
        return f"{found}."
    concepts, why = wording.count(record.n_concepts, "concept"), _but(record, fit)
    return f"No name: of {concepts}, “{fit.concept}” comes closest ({found}), {why}."


def _but(record: NamesRecord, fit: ConceptFit) -> str:
    """Why the concept that comes closest is no name."""
    if fit.p > record.largest_p:
        return "no closer than chance comes"
    if fit.auc < record.least_auc:
        return "but not close enough"
    return "but other photographs drive the unit most"


def _p(p: float) -> str:
    words = f"p < {LEAST_P:g}" if p < LEAST_P else f"p = {p:.2g}"
    return words.replace(" ", "\N{NO-BREAK SPACE}")


def _classes(contents: Contents, layer: Layer, index: int) -> list[str]:
    """Labels of the classes whose logit a unit raises most, straight from it."""
    record = contents.layer_record(layer, CIRCUIT)
    if record is None or not record.speaks_for:
        return []
    strongest = record.speaks_for[index][:N_CLASSES]
    labels = (
        contents.label(contents.facts.layers[int(nth)], int(channel))
        for nth, channel, _ in strongest
    )
    return [f"“{label}”" for label in labels if label]
