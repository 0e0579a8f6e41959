"""Load the network that was asked for, with its weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn

from atlas.asked import AtlasSpec
from atlas.canonical import canonical_json
from atlas.errors import NetworkError
from atlas.families import FAMILIES
from atlas.families.architecture import unfilled
from atlas.families.family import Family
from atlas.families.modules import evaluated, scripted_in
from atlas.labels import ClassLabels
from atlas.network.fitted import FittedModel, load_weights
from atlas.network.identity import computation_sha256, state_sha256
from atlas.network.network import Network
from atlas.network.source import (
    prepared,
    preprocessing_source,
    published_name,
    weights_name,
    weights_path,
    weights_sha256,
    with_channels,
)
from atlas.network.tracing import LAYERS
from atlas.network.walk import class_layer, walk_and_trace
from atlas.network.weights import Weights, download, open_weights, weights_in_memory
from atlas.paths import folder_on_any_system, is_layer_name
from atlas.progress import SILENT, Progress
from atlas.text import displayable
from atlas.units import Layer, NetworkFacts, Preprocessing

N_NAMED = 3  # layers that a message lists
WEIGHTS_IN_MEMORY = "a state dict in memory"


@dataclass(frozen=True)
class _Loaded:
    """A network with its weights."""

    model: nn.Module
    weights: str  # what they are called
    sha256: str  # of their file, or of the tensors where there is none
    absent: tuple[str, ...] = ()  # layers that a file has no weights for
    remarks: tuple[str, ...] = ()  # what there is to know of a file, each in one line
    image_channels: int | None = None  # of a file, where its images are not of three


def load_network(
    asked: AtlasSpec,
    family: Family,
    families: Sequence[Family] = FAMILIES,
    device: torch.device | str = "cpu",
    state: Mapping[str, Any] | None = None,
    progress: Progress = SILENT,
) -> Network:
    """Build the network of a family and load the weights that were asked for.

    Args:
        asked: the name or file of the weights.
        family: the architecture to build.
        families: all families; if a download fails, the message suggests one without a download.
        device: the device to put the network on.
        state: a state dict in memory, instead of the weights that were asked for.
        progress: shows what the network measures later, of layers without a BatchNorm.

    Raises:
        NetworkError: the weights cannot be downloaded or read, or do not fit the architecture.
        SpecError: the preprocessing that was asked for contradicts itself.
    """
    if state is None:
        loaded, published = _loaded(asked, family, families), published_name(asked, family)
    else:
        loaded, published = _in_memory(asked, family, state), None
    base = family.weights[published or family.default_weights].preprocessing()
    if loaded.image_channels:
        base = with_channels(base, loaded.image_channels)
    preprocessing = prepared(base, asked.preparation)
    layers, graph = _layers(loaded, family, preprocessing)
    n_classes = sum(layer.n_units for layer in layers if layer.is_classifier)
    labels = _labels(family, n_classes, is_published=bool(published))
    facts = NetworkFacts(
        name=family.title,
        family=family.name,
        weights=loaded.weights,
        sha256=loaded.sha256,
        labels=labels.names,
        labels_source=labels.source,
        preprocessing=preprocessing,
        layers=layers,
        label_ids=labels.wordnet_ids,
        preprocessing_source=preprocessing_source(
            asked, family, published, loaded.image_channels is not None
        ),
        variant=_variant(asked, family, loaded.model, preprocessing),
        remarks=(*loaded.remarks, *_about_layers(loaded, family, layers)),
    )
    is_traced_there = torch.device(device).type == "cpu"
    return Network(loaded.model, facts, device, progress, graph if is_traced_there else None)


def _loaded(asked: AtlasSpec, family: Family, families: Sequence[Family]) -> _Loaded:
    """The network with the weights that its code gives it, or else with those of a file."""
    published = family.weights.get(published_name(asked, family) or "")
    if published and published.network:
        ready = published.network()
        _refuse_not_finite(ready.model)
        return _Loaded(ready.model, ready.weights, state_sha256(ready.model))
    path = weights_path(asked, family) or _download(asked, family, families)
    return _of_file(asked, family, path)


def _refuse_not_finite(model: nn.Module) -> None:
    """Refuse weights that are infinite or no numbers.

    Raises:
        NetworkError: a tensor has such values.
    """
    for key, tensor in model.state_dict().items():
        if isinstance(tensor, torch.Tensor) and not tensor.isfinite().all():
            raise NetworkError(
                f"{displayable(key)} has values that are not finite; give a network whose training "
                "ended well"
            )


def _of_file(asked: AtlasSpec, family: Family, path: Path) -> _Loaded:
    with open_weights(path) as weights:
        found = _fitted(asked, family, weights)
    is_own = published_name(asked, family) is None  # nobody can mend what is published
    return _Loaded(
        found.model,
        weights_name(asked, family),
        weights_sha256(asked, path),
        found.absent,
        found.remarks if is_own else (),
        found.image_channels,
    )


def _in_memory(asked: AtlasSpec, family: Family, state: Mapping[str, Any]) -> _Loaded:
    found = _fitted(asked, family, weights_in_memory(state))
    digest = state_sha256(found.model)
    return _Loaded(
        found.model, WEIGHTS_IN_MEMORY, digest, found.absent, found.remarks, found.image_channels
    )


def _fitted(asked: AtlasSpec, family: Family, weights: Weights) -> FittedModel:
    return load_weights(
        family.build if family.is_own_code else partial(unfilled, family.build),
        _class_layer(asked, family) if family.classifier is None else family.classifier,
        weights,
        family.title,
        len(family.labels().names),
        asked.state_key,
        family.is_own_code,
    )


def _class_layer(asked: AtlasSpec, family: Family) -> str:
    """The layer that gives the classes of a network of the user's own; empty if none does.

    Files may have other image channels than the code, so those that were asked for are tried too.
    """
    model = evaluated(family.build(0))
    usual = family.weights[family.default_weights].preprocessing()
    asked_for = prepared(usual, asked.preparation)
    for channels in (usual.mean, asked_for.mean):
        with suppress(NetworkError):  # of a network that cannot be run, which is told later
            return class_layer(model, asked_for.size_px, len(channels))
    return ""


def _download(asked: AtlasSpec, family: Family, families: Sequence[Family]) -> Path:
    published = family.weights[weights_name(asked, family)]
    if published.url is None:
        raise NetworkError(f"no weights are published for {family.title}; give --weights FILE")
    flags = " or ".join(each.flag for each in families if each.flag and each.is_bundled)
    other_way = f", or try a bundled network with {flags}" if flags else ""
    return download(published.url(), f"give a local file with --weights FILE{other_way}")


def _layers(
    loaded: _Loaded, family: Family, preprocessing: Preprocessing
) -> tuple[tuple[Layer, ...], fx.GraphModule | None]:
    """The layers of the network that have weights, and its graph; None if it cannot be traced.

    Raises:
        NetworkError: it cannot be computed for such images, has no convolution, or a layer has a
            name that no folder can have.
    """
    n_channels, size_px = len(preprocessing.mean), preprocessing.size_px
    layers, graph = walk_and_trace(
        evaluated(loaded.model).requires_grad_(False),
        size_px,
        family.classifier,
        family.place,
        n_channels,
    )
    _refuse_names(layers)
    if not any(layer.is_conv for layer in layers):
        if scripted := scripted_in(loaded.model):
            raise NetworkError(
                f"{family.title} has no convolution that can be read: {displayable(scripted)} is "
                "of TorchScript, which hides its layers; give the network from before "
                "torch.jit.script"
            )
        raise NetworkError(
            f"{family.title} has no convolution; the atlas draws convolutional networks"
        )
    return tuple(layer for layer in layers if layer.name not in loaded.absent), graph


def _refuse_names(layers: Iterable[Layer]) -> None:
    """Refuse a network before anything is rendered whose site could not be written.

    Raises:
        NetworkError: no folder can be called as a layer is, or two layers have the same folder.
    """
    folders: dict[str, str] = {}  # the layers by what tells their folders
    for layer in layers:
        if not is_layer_name(layer.name):
            raise NetworkError(
                f"the layer {displayable(repr(layer.name), 60)} has a name that a folder cannot "
                "have on every system, and its pages are in one; let the code give it another"
            )
        other = folders.setdefault(folder_on_any_system(layer.name), layer.name)
        if other != layer.name:
            raise NetworkError(
                f"the layers {displayable(other, 60)} and {displayable(layer.name, 60)} would "
                "share a folder on macOS and Windows, where upper and lower case are the same; let "
                "the code give one of them another name"
            )


def _about_layers(loaded: _Loaded, family: Family, layers: Sequence[Layer]) -> Iterator[str]:
    """What a user should know of how the layers of code of their own are taken, in a line each."""
    if not family.is_own_code:
        return
    last = layers[-1]
    if last.kind == "hidden" and not loaded.absent:
        yield (
            f"no layer alone gives the network's main output, so it has no classes; "
            f"{displayable(last.name)} is shown as a hidden layer"
        )
    names = {layer.name for layer in layers} | set(loaded.absent)
    modules = loaded.model.named_modules()
    others = [name for name, each in modules if isinstance(each, LAYERS) and name not in names]
    if others:
        shown = ", ".join(map(displayable, others[:N_NAMED]))
        more = f" and {len(others) - N_NAMED} more" if len(others) > N_NAMED else ""
        yield f"the main output is not computed by calling {shown}{more}: left out"


def _variant(
    asked: AtlasSpec, family: Family, model: nn.Module, preprocessing: Preprocessing
) -> str:
    """What decides the network's answers beside its weights; empty if these decide all."""
    variant = family.variant(model)
    if family.is_own_code:
        n_channels, size_px = len(preprocessing.mean), preprocessing.size_px
        variant = f"{variant} {computation_sha256(model, n_channels, size_px)}"
    if not variant and not asked.preparation.given:
        return ""
    return f"{variant} {canonical_json(dataclasses.asdict(preprocessing))}".strip()


def _labels(family: Family, n_classes: int, is_published: bool) -> ClassLabels:
    labels = family.labels()
    if not n_classes:
        return ClassLabels((), "")
    if n_classes != len(labels.names):
        return ClassLabels.numbered(n_classes)
    return labels if is_published and not family.assumed_preprocessing else labels.assumed()
