"""What a unit is called and why: on its page, in the data files, and for the search."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from atlas.kinds.circuit import KIND as CIRCUIT
from atlas.kinds.names import KIND, NamesRecord
from atlas.kinds.names.description import Preference, enumerated, preferences
from atlas.kinds.tuning import KIND as TUNING
from atlas.site import wording
from atlas.site.contents import Contents
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
    """The sentences under a unit's title."""

    given: str | None  # the name that was given by hand
    measured: str  # sentences


def name_of(contents: Contents, layer: Layer, index: int) -> Name | None:
    """The name of a unit: the one given by hand, or the concept that it was found to tell."""
    if given := contents.given_names.get(layer.unit(index).id):
        return Name(given, (), "hand", None)
    record = contents.layer_record(layer, KIND)
    if record is None or not record.is_name or not record.is_name[index]:
        return None
    nth = _concept(record, index)
    auc = record.auc[index] if record.auc else None
    return Name(record.concepts[nth], tuple(record.concept_words[nth]), "machine", auc)


def preferences_of(contents: Contents, layer: Layer, index: int) -> tuple[Preference, ...]:
    """What a unit prefers among drawn stimuli; nothing of classes, whose logits have no scale."""
    record = contents.layer_record(layer, TUNING)
    return () if record is None or layer.is_classifier else preferences(record, index)


def description_of(contents: Contents, layer: Layer, index: int) -> str:
    """What was measured of a unit, in sentences; empty if nothing was."""
    return " ".join(_sentences(contents, layer, index))


def section_view(contents: Contents, layer: Layer, unit: Unit) -> DescriptionView | None:
    """The name of a unit and what was measured of it, None if there is neither."""
    given = contents.given_names.get(unit.id)
    measured = description_of(contents, layer, unit.index)
    return DescriptionView(given, measured) if given or measured else None


def _sentences(contents: Contents, layer: Layer, index: int) -> Iterator[str]:
    record = contents.layer_record(layer, KIND)
    if record is not None and record.concept:
        yield _fit(record, index)
    if preferred := preferences_of(contents, layer, index):
        yield f"Of drawn stimuli, it prefers {enumerated([each.phrase for each in preferred])}."
    if classes := _classes(contents, layer, index):
        yield f"By its weights, it speaks for {enumerated(classes)}."


def _fit(record: NamesRecord, index: int) -> str:
    """`Tells “hound” from other photographs: AUC 0.97 over 19 of 1,000 photographs, p < 0.001.`."""
    assert record.is_name and record.auc and record.p
    nth = _concept(record, index)
    auc, p = record.auc[index] or 0.0, record.p[index] or 0.0
    name = f"“{record.concepts[nth]}”"
    images = wording.count(record.n_images, "photograph")
    found = f"AUC {auc:.2f} over {wording.count(record.concept_images[nth])} of {images}, {_p(p)}"
    if record.is_name[index]:
        return f"Tells {name} from other photographs: {found}."
    concepts = wording.count(record.n_concepts, "concept")
    return f"No name: of {concepts}, {name} comes closest ({found}), {_but(record, auc, p)}."


def _but(record: NamesRecord, auc: float, p: float) -> str:
    """Why the concept that comes closest is no name."""
    if p > record.largest_p:
        return "no closer than chance comes"
    if auc < record.least_auc:
        return "but not close enough"
    return "but other photographs drive the unit most"


def _p(p: float) -> str:
    return f"p < {LEAST_P:g}" if p < LEAST_P else f"p {p:.2g}"


def _concept(record: NamesRecord, index: int) -> int:
    nth = record.concept[index] if record.concept else None
    assert nth is not None
    return nth


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
