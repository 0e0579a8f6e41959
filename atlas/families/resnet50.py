"""ResNet-50 as torchvision builds and publishes it.

Source: He et al. 2015, https://arxiv.org/abs/1512.03385
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from atlas.families.family import Family
from atlas.families.torchvision_weights import imagenet_labels, torchvision_weights
from atlas.labels import ClassLabels

if TYPE_CHECKING:
    from torch import nn

DEFAULT = "IMAGENET1K_V1"
NAMES = (DEFAULT, "IMAGENET1K_V2")


def _build(n_classes: int) -> nn.Module:
    from torchvision.models import resnet50

    model: nn.Module = resnet50(num_classes=n_classes)
    return model


def _load_enum() -> Any:
    from torchvision.models import ResNet50_Weights

    return ResNet50_Weights


def _labels() -> ClassLabels:
    return imagenet_labels(_load_enum, DEFAULT)


FAMILY = Family(
    name="resnet50",
    title="ResNet-50",
    about="torchvision's ResNet-50, trained on ImageNet: 27,560 units.",
    build=_build,
    classifier="fc",
    weights={name: torchvision_weights(_load_enum, name) for name in NAMES},
    default_weights=DEFAULT,
    labels=_labels,
    examples=(
        ("--preset preview", "a first picture of all 27,560 units"),
        ('--layers "layer3.*" --units 0-15', "a part of each of these layers"),
        ('--classes "goldfish,zebra" --preset fine', "two classes, large"),
    ),
    glossary=Path(__file__).with_name("residual.html"),
)
