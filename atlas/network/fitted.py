"""Loads a weights file into an architecture, or says in one line why the two do not fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from atlas.errors import NetworkError
from atlas.families.architecture import with_image_channels
from atlas.network.fitting import (
    OPTIONAL,
    Architecture,
    Fit,
    Given,
    find_fit,
    find_fit_in_order,
    unwrapped,
)
from atlas.network.foreign import about_contents
from atlas.network.split_weights import is_part, with_whole_tensors
from atlas.network.stored import ON_META, SPARSE, StoredTensor
from atlas.network.weights import Weights
from atlas.text import displayable

MAX_CLASSES = 100_000
COLOURS = 3  # channels of the images that most architectures take
_OTHER_TYPE, _OTHER_SHAPE = "of another type", "of another shape"
_OTHER_STATE = "give a state dict of this architecture, or name its architecture with --model"
_VARIANT = (
    "a variant of it is given as the code that builds it, with --model FILE.py:FUNCTION; "
    "--input-size, --mean and --std then say what images it takes"
)
_OWN_CODE = (
    "let the code build the network that the weights are of; if its function takes num_classes, "
    "it is told how many they have"
)
_FLOATING_POINT = "give weights in floating point, from before they were quantised or converted"
# The way on for tensors that cannot be used, by what they are.
_USABLE = {
    ON_META: "only their shapes were saved; save them again after the weights were loaded",
    SPARSE: "make them dense with to_dense() before they are saved",
}
N_NAMED = 3  # tensors that a message names


@dataclass(frozen=True)
class FittedModel:
    """A network with the weights of a file.

    Attributes:
        model: the network.
        n_classes: as the file has them; None if it has no classifier.
        absent: names of the layers that the file has no weights for: the classifier, and what
            leads to it.
        remarks: what a user should know of the file, each in one line.
        image_channels: channels of the images, where the file has others than the architecture.
    """

    model: nn.Module
    n_classes: int | None
    absent: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    image_channels: int | None = None


def load_weights(
    build: Callable[[int], nn.Module],
    classifier: str,
    weights: Weights,
    title: str,
    usual_classes: int,
    state_key: str = "",
    is_own_code: bool = False,
) -> FittedModel:
    """Build a network with as many classes and image channels as weights have, and load them.

    Whether they fit is known before any memory is taken for them.

    Args:
        build: builds the network from a number of classes.
        classifier: name of the layer that gives the logits; empty if there is none.
        weights: of an open file, or in memory.
        title: of the network, for messages.
        usual_classes: the number of classes where the weights have no classifier.
        state_key: which of several networks in the file is meant: a key, or a prefix of keys.
        is_own_code: whether the user can change what `build` builds.

    Raises:
        NetworkError: the weights cannot be read, or do not fit the network.
    """
    architecture = Architecture.of(lambda: build(usual_classes), classifier)
    if not any(map(is_part, architecture.tensors)):
        weights = with_whole_tensors(weights)
    weights, fit = _find_fit(architecture, weights, title, state_key)
    n_classes = _n_classes(fit, weights) or usual_classes
    image_channels = _image_channels(architecture, fit, weights.tensors)

    def build_fitting() -> nn.Module:
        model = build(n_classes)
        if image_channels:
            conv_name = _first_kernels(architecture).rpartition(".")[0]
            with_image_channels(model, conv_name, image_channels)
        return model

    if n_classes != usual_classes or image_channels:
        architecture = Architecture.of(build_fitting, classifier)
    if misfits := _misfits(architecture, weights.tensors, fit):
        has_other_types = _OTHER_TYPE in misfits
        variant = _OWN_CODE if is_own_code else _VARIANT
        otherwise = variant if list(misfits) == [_OTHER_SHAPE] else _OTHER_STATE
        given = weights.tensors
        way = _usable(given, fit) if has_other_types else _other_model(given, otherwise)
        raise NetworkError(f"{weights.path} does not fit {title}: {_spelled(misfits)}; {way}")
    model = build_fitting()
    if misfits := _load(model, weights, fit):
        way = "give weights of a finished training"
        raise NetworkError(f"{weights.path} does not fit {title}: {_spelled(misfits)}; {way}")
    remarks = tuple(_remarks(architecture, weights, fit, image_channels))
    if fit.classifier is not None:
        return FittedModel(model, n_classes, (), remarks, image_channels)
    absent = tuple(dict.fromkeys(name.rpartition(".")[0] for name in fit.absent))
    return FittedModel(model, None, absent, remarks, image_channels)


def _find_fit(
    architecture: Architecture, weights: Weights, title: str, state_key: str
) -> tuple[Weights, Fit]:
    """Where the tensors are, by their names or else by their order; and these, by such names."""
    given = weights.tensors
    fit = find_fit(architecture, given, state_key)
    if fit is None or fit.missing:
        keys = unwrapped(architecture, given)
        plain = weights.renamed(keys)
        inside = find_fit(architecture, plain.tensors, state_key)
        if inside and not inside.missing and len(keys) == len(given):
            return plain, inside
        fit = find_fit_in_order(architecture, given, state_key) or fit
    if fit is None:
        about = _about_others(architecture, given, title, state_key)
        raise NetworkError(f"{weights.path} {about}")
    return weights, fit


def _n_classes(fit: Fit, weights: Weights) -> int | None:
    """How many classes a file has; None if it has no classifier, or one of unknown size."""
    if fit.classifier is None or fit.classifier_weight is None:
        return None
    keys = (fit.classifier_weight, f"{fit.classifier}.bias")  # of sparse tensors no shape is known
    shapes = (weights.tensors[key].shape for key in keys if key in weights.tensors)
    n_classes = next((shape[0] for shape in shapes if shape), None)
    if n_classes is None or 0 < n_classes <= MAX_CLASSES:
        return n_classes
    raise NetworkError(
        f"{weights.path} has {n_classes:,} classes (the rows of {_named([fit.classifier])}); "
        f"give a network of 1 to {MAX_CLASSES:,} classes"
    )


def _first_kernels(architecture: Architecture) -> str:
    """Name of the first weights of a convolution; empty if there are none."""
    return next((name for name, tensor in architecture.tensors.items() if tensor.ndim == 4), "")


def _image_channels(architecture: Architecture, fit: Fit, given: Given) -> int | None:
    """The image channels of a file's first convolution, if it is as expected but for these."""
    name = _first_kernels(architecture)
    if name not in fit.paths:
        return None
    expected, stored = architecture.tensors[name].shape, given[fit.paths[name]].shape
    if len(stored) != len(expected):  # of sparse tensors no shape is known
        return None
    is_alike = (stored[0], *stored[2:]) == (expected[0], *expected[2:])
    return stored[1] if is_alike and 0 < stored[1] != expected[1] == COLOURS else None


def _misfits(architecture: Architecture, given: Given, fit: Fit) -> dict[str, Sequence[str]]:
    """Names of the tensors that do not fit, by what is wrong with them."""
    expected = architecture.tensors
    pairs = [(name, given[path]) for name, path in fit.paths.items()]
    misfits = {
        "missing": fit.missing,
        "not in this architecture": [path[len(fit.place) :] for path in fit.unknown],
        _OTHER_TYPE: [
            f"{name} ({tensor.type_name})"
            for name, tensor in pairs
            if not _fits_type(tensor, expected[name])
        ],
        _OTHER_SHAPE: [
            f"{name} {_shape(tensor.shape)} for {_shape(expected[name].shape)}"
            for name, tensor in pairs
            if _fits_type(tensor, expected[name]) and tensor.shape != expected[name].shape
        ],
    }
    return {what: names for what, names in misfits.items() if names}


def _usable(given: Given, fit: Fit) -> str:
    """The way on for tensors of types that cannot be used."""
    types = [given[path].type_name for path in fit.paths.values()]
    return next((_USABLE[each] for each in types if each in _USABLE), _FLOATING_POINT)


def _fits_type(given: StoredTensor, expected: Tensor) -> bool:
    """Whether a tensor has plain real numbers, and fractions where fractions are expected."""
    if given.dtype is None or given.dtype.is_complex or given.dtype == torch.bool:
        return False
    return given.dtype.is_floating_point or not expected.dtype.is_floating_point


def _about_others(architecture: Architecture, given: Given, title: str, state_key: str) -> str:
    """What a file is of whose tensors none has a name that fits."""
    if state_key and (fit := find_fit(architecture, given)):
        there = _named([_place(place) for place in (fit.place, *fit.rivals)])
        key = displayable(state_key, 80)
        return f"has nothing for --state-key {key} that fits {title}; what fits is {there}"
    if about := about_contents(list(given)):
        return about
    return f"has no tensor of {title}, but {_named(list(given))}; {_other_model(given)}"


def _other_model(given: Given, otherwise: str = _OTHER_STATE) -> str:
    from atlas.network.recognition import recognised, why_not  # which imports torchvision

    if name := recognised(given):
        way_on = why_not(name) or f"use --model {name}"
        return f"it fits torchvision's {name}: {way_on}"
    return otherwise


def _load(model: nn.Module, weights: Weights, fit: Fit) -> dict[str, Sequence[str]]:
    """Copy the tensors into the model, one by one; returns what is wrong with their numbers."""
    not_finite, negative = [], []
    with torch.no_grad():
        for name, target in model.state_dict().items():  # these share the memory of the model's
            if name not in fit.paths:
                if not name.endswith(OPTIONAL):
                    target.zero_()
                continue
            target.copy_(weights.read(fit.paths[name]))
            lowest, highest = target.aminmax()  # NaN if there is any, and no copy as large
            if not (lowest.isfinite() and highest.isfinite()):
                not_finite.append(name)
            elif name.endswith("running_var") and lowest < 0:
                negative.append(name)
    misfits = {"not finite": not_finite, "negative variances": negative}
    return {what: names for what, names in misfits.items() if names}


def _remarks(
    architecture: Architecture, weights: Weights, fit: Fit, image_channels: int | None
) -> list[str]:
    """What is said of a file that fits."""
    name = displayable(weights.path.name)
    remarks = []
    if weights.is_script:
        remarks.append(
            f"{name} is an archive of TorchScript: its weights are read, its code is not run"
        )
    if fit.place or fit.rivals:
        place = _named([_place(fit.place)])
        remarks.append(f"{name}: the weights are those of {place}{_about_rivals(fit)}")
    if made := [key for key in fit.paths.values() if key in weights.made]:
        remarks.append(f"{name}: in parts in the file, and put together: {_named(made)}")
    if fit.is_renamed:
        remarks.append(f"{name}: the tensors have other names and are taken in their order")
    if image_channels:
        channels = f"{image_channels} channel{'s' if image_channels != 1 else ''}"
        remarks.append(
            f"{name}: it takes images of {channels}; --mean and --std say how they are prepared, "
            "0.5 if not given"
        )
    if architecture.classifier and fit.classifier is None:
        remarks.append(f"{name} has no classifier that fits: an atlas without classes")
    elif fit.classifier and fit.classifier != fit.place + architecture.classifier:
        remarks.append(f"{name}: the classifier is {_named([fit.classifier])}")
    if fit.classifier is not None and f"{architecture.classifier}.bias" in fit.absent:
        bias = _named([f"{fit.classifier}.bias"])
        remarks.append(f"{name}: the classifier has no bias: {bias} is missing, taken as zeros")
    if fit.others:
        remarks.append(f"{name}: left over and not used: {_named(fit.others)}")
    return remarks


def _about_rivals(fit: Fit) -> str:
    keys = [rival.removesuffix(".") for rival in fit.rivals if rival]
    if not keys:
        return ""
    return f"; {_named(keys)} would fit too, chosen with --state-key {_named(keys[:1])}"


def _place(place: str) -> str:
    return place.removesuffix(".") or "the keys without a prefix"


def _spelled(misfits: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{what}: {_named(names)}" for what, names in misfits.items())


def _shape(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape)) or "a number"


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - N_NAMED:,} more" if len(names) > N_NAMED else ""
    return ", ".join(displayable(name, 80) for name in names[:N_NAMED]) + more
