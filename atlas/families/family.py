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


class LayerPlace(NamedTuple):
    """The stage and block that a layer is in."""

    stage: str  # "stem", "layer3", "classifier"
    block: str | None  # "layer3.0", or None outside a block


@dataclass(frozen=True)
class PublishedWeights:
    """Weights that a family publishes under a name: a file in the package or one to download."""

    preprocessing: Callable[[], Preprocessing]
    file: Path | None = None  # for weights in the package
    url: Callable[[], str] | None = None  # for weights to download


def no_images() -> ImageSet | None:
    """The image set of a family that has none in the package."""
    return None


@dataclass(frozen=True)
class Family:
    """A network architecture with its published weights, labels and texts."""

    name: str  # on the command line and in the cache, such as "vgg16"
    title: str  # on pages and in messages, such as "VGG-16"
    about: str  # one line for the command's help
    build: Callable[[int], nn.Module]  # builds the network from the number of classes
    classifier: str  # dotted name of the layer that gives the logits; empty if there is none
    weights: Mapping[str, PublishedWeights]  # by the name they are published under
    default_weights: str  # one of these names
    labels: Callable[[], ClassLabels]  # names of the published weights' classes
    place: Callable[[str, bool], LayerPlace] | None = None  # by name and is_conv; None: the graph's
    images: Callable[[], ImageSet | None] = no_images  # the image set in the package, if any
    flag: str = ""  # command-line option that selects the family
    examples: tuple[tuple[str, str], ...] = ()  # arguments of the command, and what they do
    glossary: Path | None = None  # HTML file with entries for the about page

    @property
    def is_bundled(self) -> bool:
        """Whether its default weights are in the package, so that nothing is downloaded."""
        return self.weights[self.default_weights].file is not None
