"""Load the network that was asked for, with its weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from atlas.asked import AtlasSpec
from atlas.digest import file_sha256
from atlas.errors import NetworkError
from atlas.families import FAMILIES
from atlas.families.family import Family
from atlas.labels import ClassLabels
from atlas.network.network import Network
from atlas.network.source import published_name, weights_name, weights_path
from atlas.network.unpickle import StoredTensor
from atlas.network.walk import walk
from atlas.network.weights import Weights, download, open_weights
from atlas.text import displayable
from atlas.units import NetworkFacts

MAX_CLASSES = 100_000


def load_network(
    asked: AtlasSpec,
    family: Family,
    families: Sequence[Family] = FAMILIES,
    device: torch.device | str = "cpu",
) -> Network:
    """Build the network of a family and load the weights that were asked for.

    Args:
        asked: the name or file of the weights.
        family: the architecture to build.
        families: all families; if a download fails, the message suggests one without a download.
        device: the device to put the network on.

    Raises:
        NetworkError: the weights cannot be downloaded or read, or do not fit the architecture.
    """
    path = weights_path(asked, family) or _download(asked, family, families)
    model = _build_with_weights(family, path)
    published = published_name(asked, family)
    preprocessing = family.weights[published or family.default_weights].preprocessing()
    layers = walk(model.eval(), preprocessing.size_px, family.classifier, family.place)
    n_classes = sum(layer.n_units for layer in layers if layer.is_classifier)
    labels = _labels(family, n_classes, is_published=bool(published))
    facts = NetworkFacts(
        name=family.title,
        family=family.name,
        weights=weights_name(asked, family),
        sha256=file_sha256(path),
        labels=labels.names,
        labels_source=labels.source,
        preprocessing=preprocessing,
        layers=layers,
        label_ids=labels.wordnet_ids,
    )
    return Network(model, facts, device)


def _download(asked: AtlasSpec, family: Family, families: Sequence[Family]) -> Path:
    published = family.weights[weights_name(asked, family)]
    assert published.url, published
    flags = " or ".join(each.flag for each in families if each.flag and each.is_bundled)
    other_way = f", or try a bundled network with {flags}" if flags else ""
    return download(published.url(), f"give a local file with --weights FILE{other_way}")


def _build_with_weights(family: Family, path: Path) -> nn.Module:
    """Build the network with as many classes as the file has, and load the file's tensors.

    Whether they fit is known before any memory is taken for them.
    """
    with open_weights(path) as weights:
        n_classes = _n_classes(family, weights)
        if misfits := _misfits(_expected(family, n_classes), weights.tensors):
            raise _misfit(family, path, misfits)
        model = family.build(n_classes)
        if misfits := _load(model, weights):
            raise _misfit(family, path, misfits)
    return model


def _misfit(family: Family, path: Path, misfits: str) -> NetworkError:
    return NetworkError(
        f"{path} does not fit {family.title}: {misfits}; give a state dict of this architecture"
    )


def _n_classes(family: Family, weights: Weights) -> int:
    key = f"{family.classifier}.weight"
    head = weights.tensors.get(key)
    if head is None or not head.shape:
        return len(family.labels().names)
    if not 0 < head.shape[0] <= MAX_CLASSES:
        raise NetworkError(
            f"{weights.path} has {head.shape[0]:,} classes (the rows of {key}); "
            f"give a network of 1 to {MAX_CLASSES:,} classes"
        )
    return head.shape[0]


def _expected(family: Family, n_classes: int) -> Mapping[str, Tensor]:
    """The architecture's tensors, without memory where the family can be built so."""
    try:
        with torch.device("meta"):
            return family.build(n_classes).state_dict()
    except Exception:  # a family from outside the package may compute with its first weights
        return family.build(n_classes).state_dict()


def _misfits(expected: Mapping[str, Tensor], given: Mapping[str, StoredTensor]) -> str:
    """Why the tensors do not fit the architecture; empty if they fit."""
    optional = {key for key in expected if key.endswith("num_batches_tracked")}
    shared = [key for key in expected if key in given]
    other_types = [key for key in shared if not _fits_type(given[key], expected[key])]
    other_shapes = [key for key in shared if given[key].shape != expected[key].shape]
    return _spelled(
        {
            "missing": [key for key in expected if key not in given and key not in optional],
            "unexpected": [key for key in given if key not in expected],
            "of another type": [f"{key} ({given[key].type_name})" for key in other_types],
            "of another shape": [key for key in other_shapes if key not in other_types],
        }
    )


def _fits_type(given: StoredTensor, expected: Tensor) -> bool:
    """Whether a tensor has plain real numbers, and fractions where fractions are expected."""
    if given.dtype is None or given.dtype.is_complex or given.dtype == torch.bool:
        return False
    return given.dtype.is_floating_point or not expected.dtype.is_floating_point


def _load(model: nn.Module, weights: Weights) -> str:
    """Copy the tensors into the model, one by one; returns what is wrong with their numbers."""
    not_finite, negative = [], []
    state = model.state_dict()  # shares the memory of the model's tensors
    with torch.no_grad():
        for key, target in state.items():
            if key not in weights.tensors:
                continue
            target.copy_(weights.read(key))
            lowest, highest = target.aminmax()  # NaN if there is any, and no copy as large
            if not (lowest.isfinite() and highest.isfinite()):
                not_finite.append(key)
            elif key.endswith("running_var") and lowest < 0:
                negative.append(key)
    return _spelled({"not finite": not_finite, "negative variances": negative})


def _spelled(misfits: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{what}: {_first_names(keys)}" for what, keys in misfits.items() if keys)


def _first_names(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
    return ", ".join(displayable(key, 80) for key in keys[:3]) + more


def _labels(family: Family, n_classes: int, is_published: bool) -> ClassLabels:
    labels = family.labels()
    if n_classes != len(labels.names):
        names = tuple(f"class {index}" for index in range(n_classes))
        return ClassLabels(names, "none given: numbered")
    if is_published:
        return labels
    source = f"assumed to be {labels.source}; --labels gives others"
    return ClassLabels(labels.names, source, labels.wordnet_ids)
