"""Names of layers, units and responses on the pages: one vocabulary per kind of layer."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from atlas.units import N_REFERENCE_IMAGES, Layer, LayerKind, ScoreName


@dataclass(frozen=True)
class Score:
    """The scale of the responses of a layer's units, with its words."""

    name: ScoreName
    unit: str  # of measurement, in the results of the command
    suffix: str  # unit of measurement that follows a number on the pages
    noun: str  # name of the response at the strongest position
    term: str  # the same name as a heading
    about: str  # entry of the glossary
    words: str  # explains the numbers of the axis of evidence


SCORES: Mapping[ScoreName, Score] = {
    "z": Score(
        "z",
        "σ",
        "\N{NO-BREAK SPACE}σ",  # keeps σ on the line of its number
        "peak",
        "Strongest position of the picture",
        "sigma",
        "σ from the unit’s average, at the strongest or weakest position.",
    ),
    "logit": Score("logit", "logits", "", "logit", "Logit", "logit", "Logits of this class."),
}

HIDDEN_WORDS = "σ from the unit’s average."  # of units without positions
MEASURED = f"measured on {N_REFERENCE_IMAGES} generated images, as no BatchNorm follows this layer"


@dataclass(frozen=True)
class Vocabulary:
    """The words for one kind of layer; `str.format` fills in the names in braces."""

    layer: str  # its name
    layers: str
    noun: str  # name of one of its units
    plural: str
    unit: str  # a unit in a sentence, from its {index} and {title}
    unit_subtitle: str  # from {index}, {count} of units and {kernel}, perhaps a depthwise one
    layer_subtitle: str  # from {kernel}, {where} and {units}
    size: str  # in the drawing of the network, from {count}, {units} and {kernel}
    excited_by: str  # headings of a unit's circuit
    inhibited_by: str
    excites: str  # headings in the circuit of a unit whose output these units read
    inhibits: str
    strength: str  # what the strengths of inputs say, from {step}
    silenced: str  # about the inhibitory picture, from {response} and {rank}
    fires: str  # heading of how often a unit fires
    fires_in: str  # from {share} and {positions}


_UNITS = {
    "noun": "unit",
    "plural": "units",
    "excited_by": "Excited by",
    "inhibited_by": "Inhibited by",
    "excites": "Excites",
    "inhibits": "Inhibits",
    "strength": "how many {step} a unit moves",
    "fires": "Fires in",
}
VOCABULARIES: Mapping[LayerKind, Vocabulary] = {
    "conv": Vocabulary(
        **_UNITS,
        layer="convolution",
        layers="convolutions",
        unit="channel {index}",
        unit_subtitle="channel {index} of {count}, {kernel} convolution",
        layer_subtitle="{kernel} convolution in {where}: {units}",
        size="{count} · {kernel}",
        silenced="drives the unit down: {response} at its weakest position",
        fires_in="{share}, at {positions} of positions",
    ),
    "pointwise": Vocabulary(
        **_UNITS,
        layer="linear layer at every position",
        layers="linear layers at every position",
        unit="channel {index}",
        unit_subtitle="channel {index} of {count}, linear layer at every position",
        layer_subtitle="Linear layer at every position in {where}: {units}",
        size="{count} · {kernel}",
        silenced="drives the unit down: {response} at its weakest position",
        fires_in="{share}, at {positions} of positions",
    ),
    "hidden": Vocabulary(
        **_UNITS,
        layer="hidden linear layer",
        layers="hidden linear layers",
        unit="unit {index}",
        unit_subtitle="unit {index} of {count}, hidden linear layer",
        layer_subtitle="Hidden linear layer in {where}: {units}",
        size="{units}",
        silenced="drives the unit down: {response}",
        fires_in="{share}",
    ),
    "classifier": Vocabulary(
        layer="classifier",
        layers="classifiers",
        noun="class",
        plural="classes",
        unit="the class “{title}”",
        unit_subtitle="class {index} of {count}, numbered from 0",
        layer_subtitle="The classifier: {units}",
        size="{units}",
        excited_by="For it",
        inhibited_by="Against it",
        excites="Speaks for",
        inhibits="Speaks against",
        strength="how far the logit of a class moves",
        silenced="drives the class down: logit {response}{rank}",
        fires="Is the answer for",
        fires_in="{share}",
    ),
}


def words_of(layer: Layer) -> Vocabulary:
    """The words for a layer and its units."""
    return VOCABULARIES[layer.kind]


def score_of(layer: Layer) -> Score:
    """The scale of a layer's responses; its words say where they are not a BatchNorm's."""
    score = SCORES[layer.score_name]
    if layer.kind == "hidden":
        score = dataclasses.replace(score, term="Response", words=HIDDEN_WORDS)
    if layer.is_classifier or layer.sigma == "batch_norm":
        return score
    return dataclasses.replace(score, words=f"{score.words} σ is {MEASURED}.")
