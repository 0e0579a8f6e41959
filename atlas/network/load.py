"""Load the network that was asked for, with its weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from atlas.asked import AtlasSpec
from atlas.console import say_above
from atlas.families import FAMILIES
from atlas.families.family import Family
from atlas.labels import ClassLabels
from atlas.network.fitted import load_weights
from atlas.network.network import Network
from atlas.network.source import published_name, weights_name, weights_path, weights_sha256
from atlas.network.walk import walk
from atlas.network.weights import download
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
    fitted = load_weights(
        family.build,
        family.classifier,
        path,
        family.title,
        len(family.labels().names),
        asked.state_key,
    )
    for remark in fitted.remarks:
        say_above(remark)
    published = published_name(asked, family)
    preprocessing = family.weights[published or family.default_weights].preprocessing()
    walked = walk(fitted.model.eval(), preprocessing.size_px, family.classifier, family.place)
    layers = tuple(layer for layer in walked if layer.name not in fitted.absent)
    n_classes = sum(layer.n_units for layer in layers if layer.is_classifier)
    labels = _labels(family, n_classes, is_published=bool(published))
    facts = NetworkFacts(
        name=family.title,
        family=family.name,
        weights=weights_name(asked, family),
        sha256=weights_sha256(asked, path),
        labels=labels.names,
        labels_source=labels.source,
        preprocessing=preprocessing,
        layers=layers,
        label_ids=labels.wordnet_ids,
    )
    return Network(fitted.model, facts, device)


def _download(asked: AtlasSpec, family: Family, families: Sequence[Family]) -> Path:
    published = family.weights[weights_name(asked, family)]
    assert published.url, published
    flags = " or ".join(each.flag for each in families if each.flag and each.is_bundled)
    other_way = f", or try a bundled network with {flags}" if flags else ""
    return download(published.url(), f"give a local file with --weights FILE{other_way}")


def _labels(family: Family, n_classes: int, is_published: bool) -> ClassLabels:
    labels = family.labels()
    if not n_classes:
        return ClassLabels((), "")
    if n_classes != len(labels.names):
        names = tuple(f"class {index}" for index in range(n_classes))
        return ClassLabels(names, "none given: numbered")
    if is_published:
        return labels
    source = f"assumed to be {labels.source}; --labels gives others"
    return ClassLabels(labels.names, source, labels.wordnet_ids)
