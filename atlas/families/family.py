"""What a family of networks says about itself: plain data, and functions that load what is heavy.

Importing a family imports neither torch nor torchvision.
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
    """Where in its network a layer is."""

    stage: str  # "stem", "layer3", "classifier"
    block: str | None  # "layer3.0", or None outside a block


@dataclass(frozen=True)
class PublishedWeights:
    """Weights that a family offers under a name: a file that comes along, or one to download."""

    preprocessing: Callable[[], Preprocessing]
    file: Path | None = None  # of weights that come along
    url: Callable[[], str] | None = None  # of weights to download


def place_by_name(name: str, is_conv: bool) -> LayerPlace:
    """Where the parts of a module's dotted name put a layer.

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
    """Of a family that brings no images along."""
    return None


@dataclass(frozen=True)
class Family:
    """A network architecture, its published weights, and what else only it can say."""

    name: str  # on the command line and in the cache, such as "vgg16"
    title: str  # on pages and in messages, such as "VGG-16"
    about: str  # one line for the command's help
    build: Callable[[int], nn.Module]  # from the number of classes
    classifier: str  # dotted name of the layer that gives the logits
    weights: Mapping[str, PublishedWeights]  # by the name they are published under
    default_weights: str  # one of these names
    labels: Callable[[], ClassLabels]  # of the published weights
    place: Callable[[str, bool], LayerPlace] = (
        place_by_name  # from a layer's name and whether a conv
    )
    images: Callable[[], ImageSet | None] = no_images  # the image set it brings along
    flag: str = ""  # option that stands for the family on the command line
    examples: tuple[tuple[str, str], ...] = ()  # of arguments of the command, and what they do
    glossary: Path | None = None  # HTML file with entries for the about page

    @property
    def is_bundled(self) -> bool:
        """Whether its default weights come along, so that nothing is downloaded."""
        return self.weights[self.default_weights].file is not None
