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
from atlas.network.walk import walk
from atlas.network.weights import download, read_state_dict
from atlas.units import NetworkFacts


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
    state = read_state_dict(path)
    model = _build_with_weights(family, state, path)
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


def _build_with_weights(family: Family, state: Mapping[str, Tensor], path: Path) -> nn.Module:
    """Build the network with as many classes as the file has, and load the file's tensors."""
    head = state.get(f"{family.classifier}.weight")
    n_classes = head.shape[0] if head is not None and head.ndim else len(family.labels().names)
    model = family.build(n_classes)
    if misfits := _misfits(model, state):
        raise NetworkError(
            f"{path} does not fit {family.title}: {misfits}; give a state dict of this architecture"
        )
    model.load_state_dict(state, strict=False)
    return model


def _misfits(model: nn.Module, state: Mapping[str, Tensor]) -> str:
    """Why the tensors do not fit the model; empty if they fit."""
    expected = model.state_dict()
    optional = {key for key in expected if key.endswith("num_batches_tracked")}
    shared = [key for key in expected if key in state]
    misfits = {
        "missing": [key for key in expected if key not in state and key not in optional],
        "unexpected": [key for key in state if key not in expected],
        "of another shape": [key for key in shared if state[key].shape != expected[key].shape],
        "not finite": [key for key in shared if not state[key].isfinite().all()],
    }
    return "; ".join(f"{what}: {_first_names(keys)}" for what, keys in misfits.items() if keys)


def _first_names(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
    return ", ".join(keys[:3]) + more


def _labels(family: Family, n_classes: int, is_published: bool) -> ClassLabels:
    labels = family.labels()
    if n_classes != len(labels.names):
        names = tuple(f"class {index}" for index in range(n_classes))
        return ClassLabels(names, "none given: numbered")
    if is_published:
        return labels
    source = f"assumed to be {labels.source}; --labels gives others"
    return ClassLabels(labels.names, source, labels.wordnet_ids)
