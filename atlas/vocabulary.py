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
    """The words for one kind of layer."""

    layer: str  # what it is
    layers: str
    noun: str  # what one of its units is
    plural: str
    member: str  # what a unit without a label is, before its index: "channel 7"
    excited_by: str  # headings of a unit's circuit
    inhibited_by: str
    excites: str  # headings of the circuit of a unit that one of these reads
    inhibits: str


VOCABULARIES: Mapping[LayerKind, Vocabulary] = {
    "conv": Vocabulary(
        layer="convolution",
        layers="convolutions",
        noun="unit",
        plural="units",
        member="channel",
        excited_by="Excited by",
        inhibited_by="Inhibited by",
        excites="Excites",
        inhibits="Inhibits",
    ),
    "hidden": Vocabulary(
        layer="hidden linear layer",
        layers="hidden linear layers",
        noun="unit",
        plural="units",
        member="unit",
        excited_by="Excited by",
        inhibited_by="Inhibited by",
        excites="Excites",
        inhibits="Inhibits",
    ),
    "classifier": Vocabulary(
        layer="classifier",
        layers="classifiers",
        noun="class",
        plural="classes",
        member="class",
        excited_by="For it",
        inhibited_by="Against it",
        excites="Speaks for",
        inhibits="Speaks against",
    ),
}


def words_of(layer: Layer) -> Vocabulary:
    """The words for a layer and its units."""
    return VOCABULARIES[layer.kind]


def score_of(layer: Layer) -> Score:
    """What a layer's responses are counted in."""
    return SCORES[layer.score_name]
