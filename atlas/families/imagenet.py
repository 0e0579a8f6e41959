"""The classes of ImageNet-1k: their labels as torchvision lists them, and their WordNet ids."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from atlas.labels import ClassLabels

IDS_PATH = Path(__file__).with_name("imagenet_wordnet_ids.txt")
N_CLASSES = 1000
# Mean and standard deviation of ImageNet's colours, which most networks are trained with.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def imagenet_labels(names: Sequence[str]) -> ClassLabels:
    """The labels and WordNet ids of classes, from the names that torchvision gives with weights."""
    ids = IDS_PATH.read_text(encoding="ascii").split()
    return ClassLabels(
        names=tuple(names),
        source="ImageNet-1k, as torchvision lists it",
        wordnet_ids=tuple(ids) if len(ids) == len(names) else (),
    )
