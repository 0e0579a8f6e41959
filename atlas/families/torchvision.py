"""Every convolutional classifier of torchvision, found by name, with its published weights.

Importing torchvision takes seconds, so that is done only inside functions.
"""

from __future__ import annotations

import difflib
import inspect
import re
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atlas.errors import SpecError
from atlas.families import timm
from atlas.families.family import Family, Finder, PublishedWeights
from atlas.families.imagenet import imagenet_labels
from atlas.labels import ClassLabels
from atlas.units import Preprocessing

if TYPE_CHECKING:
    from torch import nn

DEFAULT_NAME = "resnet50"
FIRST_WEIGHTS = "IMAGENET1K_V1"  # what torchvision calls the first weights of nearly all networks
ENUM_SUFFIX = "_Weights"
MEBIBYTE = 2**20  # torchvision's unit of file sizes
# Parameters of some classes: auxiliary heads are for training only, first weights are replaced,
# and what `transform_input` would compute is part of the preprocessing here.
OPTIONS: Mapping[str, bool] = {
    "aux_logits": False,
    "init_weights": False,
    "transform_input": False,
}
# `transform_input` takes images normalised for ImageNet to this mean and standard deviation.
TRANSFORMED_TO = 0.5


@dataclass(frozen=True)
class ListedNetwork:
    """A network of torchvision that the atlas draws, for a list of them."""

    name: str
    title: str
    n_units: int
    file_mb: float  # of the first weights, in units of 10^6 bytes
    weights: tuple[str, ...]


def find(name: str) -> Family:
    """The family of torchvision's network `name`.

    Raises:
        SpecError: torchvision has no such classifier.
        NetworkError: it is no convolutional network.
    """
    from atlas.families.architecture import (
        N_CLASSES,
        classifier_of,
        outline,
        refuse_other_than_convolutional,
    )

    _refuse_unknown(name)
    build = partial(_build, name)
    outlines = {n_classes: outline(build, n_classes) for n_classes in N_CLASSES}
    refuse_other_than_convolutional(name, outlines[N_CLASSES[0]])
    enum = _weights_enum(name)
    published = _for_classification(enum)
    default = FIRST_WEIGHTS if FIRST_WEIGHTS in published else published[0]
    return Family(
        name=name,
        title=title_of(enum.__name__),
        about=f"torchvision's {title_of(enum.__name__)}.",
        build=build,
        classifier=classifier_of(outlines.__getitem__),
        weights={weights: _published(name, enum[weights]) for weights in published},
        default_weights=default,
        recommended_weights=enum.DEFAULT.name,
        labels=partial(_labels, enum[default]),
    )


def assumed_labels() -> ClassLabels:
    """The labels of ImageNet-1k, for networks that do not name their classes."""
    return _labels(_weights_enum(DEFAULT_NAME)[FIRST_WEIGHTS])


def listed() -> Iterator[ListedNetwork]:
    """The networks of torchvision that the atlas draws, by name."""
    from atlas.families.architecture import n_units_of, outline, why_not_drawn

    for name in _names():
        enum = _weights_enum(name)
        weights = _for_classification(enum)
        meta = enum[weights[0]].meta
        model = outline(partial(_build, name), len(meta["categories"]))
        if why_not_drawn(model):
            continue
        yield ListedNetwork(
            name=name,
            title=title_of(enum.__name__),
            n_units=n_units_of(model),
            file_mb=meta["_file_size"] * MEBIBYTE / 1e6,
            weights=weights,
        )


def title_of(enum_name: str) -> str:
    """A readable title from the name of a weights enum: "VGG16_BN_Weights" is "VGG-16-BN".

    A single digit and what follows it after an underscore are a decimal fraction, and a number is
    set off from the word before it.
    """
    name = enum_name.removesuffix(ENUM_SUFFIX)
    name = re.sub(r"(?<!\d)(\d)_(\d+)", r"\1.\2", name)
    name = re.sub(r"(\d+)X(\d+)D", r"\1x\2d", name)
    name = re.sub(r"(?<=[A-Za-z]{2})(?=\d)", "-", name)
    return name.replace("_", "-")


def _names() -> list[str]:
    import torchvision

    names: list[str] = torchvision.models.list_models(module=torchvision.models)
    return names


def _refuse_unknown(name: str) -> None:
    names = _names()
    if name in names:
        return
    if Path(name).is_file():
        raise SpecError(f"{name} is a file; give weights with --weights, a network with --model")
    if timm.has(plain := name.rpartition("/")[2]):  # "timm/resnet18" on a hub
        raise SpecError(
            f"torchvision has no network {name!r}, but timm does; use --model timm:{plain}"
        )
    close = difflib.get_close_matches(name.lower(), names)
    hint = f"did you mean {' or '.join(close)}?" if close else "`models` lists those that there are"
    raise SpecError(f"no network called {name!r}; {hint}")


def _build(name: str, n_classes: int) -> nn.Module:
    import torchvision

    model: nn.Module = torchvision.models.get_model(
        name, weights=None, num_classes=n_classes, **_options(name)
    )
    return model


def _options(name: str) -> dict[str, bool]:
    """Those of `OPTIONS` that the network's class knows."""
    import torchvision

    builder = torchvision.models.get_model_builder(name)
    known = inspect.signature(typing.get_type_hints(builder)["return"]).parameters
    return {option: value for option, value in OPTIONS.items() if option in known}


def _weights_enum(name: str) -> Any:
    import torchvision

    return torchvision.models.get_model_weights(name)


def _for_classification(enum: Any) -> tuple[str, ...]:
    """The names of weights with classes; those for other uses lack a trained classifier."""
    return tuple(weights.name for weights in enum if weights.meta.get("categories"))


def _published(name: str, weights: Any) -> PublishedWeights:
    return PublishedWeights(
        preprocessing=partial(_preprocessing, name, weights),
        url=lambda: str(weights.url),
    )


def _preprocessing(name: str, weights: Any) -> Preprocessing:
    """The preprocessing that torchvision's `ImageClassification` transform does."""
    transforms = weights.transforms()
    (size_px,) = transforms.crop_size
    (resize_px,) = transforms.resize_size
    mean, std = tuple(transforms.mean), tuple(transforms.std)
    if "transform_input" in _options(name):
        mean = std = (TRANSFORMED_TO,) * len(mean)
    return Preprocessing(
        size_px=size_px,
        resize_px=resize_px,
        mean=mean,
        std=std,
        interpolation=transforms.interpolation.value,
    )


def _labels(weights: Any) -> ClassLabels:
    return imagenet_labels(weights.meta["categories"])


FINDER = Finder(
    form="NAME",
    about="a convolutional classifier of torchvision; `models` lists them",
    owns=lambda name: ":" not in name,
    find=find,
    default_weights=FIRST_WEIGHTS,
    is_stable=True,
    examples=(
        ("--preset preview", "a first picture of all units of ResNet-50"),
        ("--model vgg16 --layers features.28", "the last convolution of VGG-16"),
        ('--layers "layer3.*" --units 0-15', "a part of each of these layers"),
        ('--classes "goldfish,zebra" --preset fine', "two classes, large"),
    ),
)
