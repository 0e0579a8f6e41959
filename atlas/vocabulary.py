"""What layers, units and their responses are called on the pages: one vocabulary per layer kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from atlas.units import Layer, LayerKind, ScoreName


@dataclass(frozen=True)
class Score:
    """What the responses of a layer's units are counted in."""

    name: ScoreName
    unit: str  # in the results of the command
    suffix: str  # as it follows a number on the pages
    noun: str  # of the response at the strongest position
    term: str  # of the same, as a heading
    about: str  # entry of the glossary
    words: str  # what the numbers of an axis are


SCORES: Mapping[ScoreName, Score] = {
    "z": Score(
        "z",
        "σ",
        "\N{NO-BREAK SPACE}σ",  # stays on the line of its number
        "peak",
        "Peak activation",
        "sigma",
        "σ from the unit’s average, at the strongest or weakest position.",
    ),
    "mean": Score(
        "mean",
        "",
        "",
        "peak",
        "Peak activation",
        "sigma",
        "Activations at the strongest or weakest position.",
    ),
    "logit": Score("logit", "logits", "", "logit", "Logit", "logit", "Logits of this class."),
}


@dataclass(frozen=True)
class Vocabulary:
    """The words for one kind of layer; what stands in braces is filled in by `str.format`."""

    layer: str  # what it is
    layers: str
    noun: str  # what one of its units is
    plural: str
    unit: str  # a unit in a sentence, from its {index} and {title}
    unit_subtitle: str  # from {index}, {count} of units and {kernel}
    layer_subtitle: str  # from {kernel}, {where} and {units}
    size: str  # in the drawing of the network, from {count} and {kernel}
    excited_by: str  # headings of a unit's circuit
    inhibited_by: str
    excites: str  # headings of the circuit of a unit that one of these reads
    inhibits: str
    strength: str  # what strengths of a unit's inputs are counted in, from {step}
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
    "strength": "in {step} per {step}",
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
        silenced="silences the unit: {response} at its weakest position",
        fires_in="{share}, at {positions} of positions",
    ),
    "hidden": Vocabulary(
        **_UNITS,
        layer="hidden linear layer",
        layers="hidden linear layers",
        unit="unit {index}",
        unit_subtitle="unit {index} of {count}, hidden linear layer",
        layer_subtitle="Hidden linear layer in {where}: {units}",
        size="{count} units",
        silenced="silences the unit: {response}",
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
        size="{count} classes",
        excited_by="For it",
        inhibited_by="Against it",
        excites="Speaks for",
        inhibits="Speaks against",
        strength="in logits per {step}",
        silenced="silences the class: logit {response}{rank}",
        fires="Is the answer for",
        fires_in="{share}",
    ),
}


def words_of(layer: Layer) -> Vocabulary:
    """The words for a layer and its units."""
    return VOCABULARIES[layer.kind]


def score_of(layer: Layer) -> Score:
    """What a layer's responses are counted in."""
    return SCORES[layer.score_name]
