"""A small trained network that ships with the project, and how it was trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from atlas.families.family import Family, PublishedWeights
from atlas.labels import ClassLabels
from atlas.units import Preprocessing

if TYPE_CHECKING:
    from torch import nn

    from atlas.families.demo.images import Drawings

INPUT_SIZE_PX = 80
MEAN = (0.5, 0.5, 0.5)
STD = (0.25, 0.25, 0.25)
WEIGHTS_PATH = Path(__file__).with_name("demo.safetensors")
# The middle 7/8 of a photograph is kept, so `resize_px` is not a whole number.
PREPROCESSING = Preprocessing(INPUT_SIZE_PX, INPUT_SIZE_PX * 8 / 7, MEAN, STD)


def _build(n_classes: int) -> nn.Module:
    from atlas.families.demo.network import build_demo

    return build_demo(n_classes)


def _labels() -> ClassLabels:
    from atlas.families.demo.drawings import DRAWINGS

    names = tuple(drawing.label for drawing in DRAWINGS)
    return ClassLabels(names, "the drawings it was trained on")


def _images() -> Drawings:
    from atlas.families.demo.images import Drawings

    return Drawings.new()


FAMILY = Family(
    name="demo",
    title="DemoNet",
    about="The small network that comes with the project.",
    build=_build,
    classifier="fc",
    weights={"demo": PublishedWeights(lambda: PREPROCESSING, file=WEIGHTS_PATH)},
    default_weights="demo",
    labels=_labels,
    images=_images,
    flag="--demo",
    examples=(("--demo", "a whole atlas in minutes, no download"),),
)
