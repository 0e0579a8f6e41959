"""The description of a family of networks: plain data, and functions that need torch.

Those functions import torch and torchvision only when they are called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from atlas.labels import ClassLabels
from atlas.units import Preprocessing

if TYPE_CHECKING:
    from torch import nn

    from atlas.images import ImageSet

RECOMMENDED = "DEFAULT"  # asks for the weights that a family recommends


class LayerPlace(NamedTuple):
    """The stage and block that a layer is in."""

    stage: str  # "stem", "layer3", "classifier"
    block: str | None  # "layer3.0", or None outside a block


class ReadyNetwork(NamedTuple):
    """A network that came with its weights, and what these are called."""

    model: nn.Module
    weights: str


@dataclass(frozen=True)
class PublishedWeights:
    """Weights that a family publishes: a file in the package, one to download, or by its code."""

    preprocessing: Callable[[], Preprocessing]
    file: Path | None = None  # for weights in the package
    url: Callable[[], str] | None = None  # for weights to download
    network: Callable[[], ReadyNetwork] | None = None  # for weights that other code loads


def no_images() -> ImageSet | None:
    """The image set of a family that has none in the package."""
    return None


def no_variant(_model: nn.Module) -> str:
    """The variant of a network that its family and its weights determine."""
    return ""


@dataclass(frozen=True)
class Family:
    """A network architecture with its published weights, labels and texts."""

    name: str  # on the command line and in the cache, such as "vgg16"
    title: str  # on pages and in messages, such as "VGG-16"
    about: str  # one line for the command's help
    build: Callable[[int], nn.Module]  # builds the network from the number of classes
    # Dotted name of the layer that gives the logits, empty if there is none; None: see the graph.
    classifier: str | None
    weights: Mapping[str, PublishedWeights]  # by the name they are published under
    default_weights: str  # one of these names; empty if there are none
    labels: Callable[[], ClassLabels]  # names of the published weights' classes
    place: Callable[[str, bool], LayerPlace] | None = None  # by name and is_conv; None: the graph's
    images: Callable[[], ImageSet | None] = no_images  # the image set in the package, if any
    flag: str = ""  # command-line option that selects the family
    examples: tuple[tuple[str, str], ...] = ()  # arguments of the command, and what they do
    glossary: Path | None = None  # HTML file with entries for the about page
    recommended_weights: str = ""  # what `DEFAULT` stands for; empty: the default weights
    assumed_preprocessing: str = ""  # where the preprocessing comes from, if not from the weights
    # What a network is beside its tensors, where the same tensors may give other answers.
    variant: Callable[[nn.Module], str] = no_variant
    is_own_code: bool = False  # whether code that anybody may change decides its answers

    @property
    def is_bundled(self) -> bool:
        """Whether its default weights are in the package, so that nothing is downloaded."""
        return bool(self.weights) and self.weights[self.default_weights].file is not None


@dataclass(frozen=True)
class Finder:
    """Networks that are found by name when one is asked for, since finding them takes seconds."""

    form: str  # how a name is written, for the command's help
    about: str  # one line for the command's help
    owns: Callable[[str], bool]  # whether a name has this form
    find: Callable[[str], Family]  # imports what is needed; raises AtlasError
    default_weights: str = ""  # the name that stands for weights if none are asked for
    is_stable: bool = False  # whether equal names of network and weights always mean the same
    examples: tuple[tuple[str, str], ...] = ()  # arguments of the command, and what they do
