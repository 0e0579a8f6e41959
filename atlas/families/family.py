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


def place_by_name(name: str, is_conv: bool) -> LayerPlace:
    """The stage and block of a layer, from the parts of its dotted name.

    The first part is the stage and the first two are the block: "layer3.0.conv2" is in block
    "layer3.0" of stage "layer3". A layer without a stage is in the stem if it is a convolution,
    else in the classifier.
    """
    parts = name.split(".")
    outside = "stem" if is_conv else "classifier"
    return LayerPlace(
        stage=parts[0] if len(parts) > 1 else outside,
        block=".".join(parts[:2]) if len(parts) > 2 else None,
    )


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
    place: Callable[[str, bool], LayerPlace] = place_by_name  # from name and whether it is a conv
    images: Callable[[], ImageSet | None] = no_images  # the image set in the package, if any
    flag: str = ""  # command-line option that selects the family
    examples: tuple[tuple[str, str], ...] = ()  # arguments of the command, and what they do
    glossary: Path | None = None  # HTML file with entries for the about page

    @property
    def is_bundled(self) -> bool:
        """Whether its default weights are in the package, so that nothing is downloaded."""
        return self.weights[self.default_weights].file is not None
