"""The weights that torchvision publishes, with their labels, read from its weights enums.

The enums are loaded only when they are needed, since importing torchvision takes seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from atlas.families.family import PublishedWeights
from atlas.labels import ClassLabels
from atlas.units import Preprocessing

IMAGENET_IDS_PATH = Path(__file__).with_name("imagenet_wordnet_ids.txt")

LoadEnum = Callable[[], Any]  # returns a WeightsEnum of torchvision


def torchvision_weights(load_enum: LoadEnum, name: str) -> PublishedWeights:
    """The weights that are called `name` in the enum."""
    return PublishedWeights(
        preprocessing=lambda: _preprocessing(load_enum()[name].transforms()),
        url=lambda: str(load_enum()[name].url),
    )


def imagenet_labels(load_enum: LoadEnum, name: str) -> ClassLabels:
    """The labels and WordNet ids of weights that were trained on ImageNet-1k."""
    return ClassLabels(
        names=tuple(load_enum()[name].meta["categories"]),
        source="ImageNet-1k, as torchvision lists it",
        wordnet_ids=tuple(IMAGENET_IDS_PATH.read_text(encoding="ascii").split()),
    )


def _preprocessing(transforms: Any) -> Preprocessing:
    """The preprocessing that torchvision's `ImageClassification` transform does."""
    (size_px,) = transforms.crop_size
    (resize_px,) = transforms.resize_size
    return Preprocessing(
        size_px=size_px,
        resize_px=resize_px,
        mean=tuple(transforms.mean),
        std=tuple(transforms.std),
        interpolation=transforms.interpolation.value,
    )
