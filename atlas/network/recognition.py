"""Which of torchvision's architectures a file's tensors are of."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping

from torch import Tensor, nn
from torchvision import models

from atlas.families.architecture import outline, why_not_drawn
from atlas.network.fitting import OPTIONAL, Architecture, Given, find_fit

MAX_GIVEN = 5000  # tensors of a file that are compared with every architecture
MAX_CLASSES = 100_000
MIN_SHARE = 0.05  # of an architecture's numbers; the convolutions of a VGG are 7 % of it


def recognised(given: Given) -> str:
    """The name of the architecture of torchvision that a file's tensors fit; empty if none.

    Takes some seconds if none fits, as all of them are built, without memory for their numbers.
    """
    if len(given) > MAX_GIVEN:
        return ""
    return next((name for name in _nearest(given) if _fits(name, given)), "")


def why_not(name: str) -> str:
    """Why the atlas does not draw an architecture of torchvision; empty if it does."""
    reason = why_not_drawn(outline(lambda n_classes: _built(name, n_classes)))
    return f"it {reason}, and the atlas draws convolutional networks" if reason else ""


def _nearest(given: Given) -> Iterator[str]:
    """The architectures that the file has enough numbers for, by the difference in numbers."""
    storages = {tensor.storage.key: tensor.storage for tensor in given.values() if tensor.storage}
    n_given = sum(storage.n_items for storage in storages.values())
    sizes = {name: _n_parameters(name) for name in models.list_models(module=models)}
    for name in sorted(sizes, key=lambda name: abs(sizes[name] - n_given)):
        if n_given > MIN_SHARE * sizes[name]:
            yield name


def _n_parameters(name: str) -> int:
    return int(models.get_model_weights(name).DEFAULT.meta["num_params"])


def _fits(name: str, given: Given) -> bool:
    fit = find_fit(architecture := _architecture(name), given)
    if fit is None or fit.missing or fit.unknown:
        return False
    n_classes = given[f"{fit.classifier}.weight"].shape[:1] if fit.classifier else ()
    if n_classes and 0 < n_classes[0] <= MAX_CLASSES:  # auxiliary heads have as many
        architecture = _architecture(name, n_classes[0])
    found = {name: path for name, path in fit.paths.items() if not name.endswith(OPTIONAL)}
    return all(architecture.fits(name, given[path]) for name, path in found.items())


def _architecture(name: str, n_classes: int = 1000) -> Architecture:
    tensors = Architecture.of(lambda: _built(name, n_classes), "").tensors
    return Architecture(tensors, _last_layer(tensors))


def _built(name: str, n_classes: int) -> nn.Module:
    with warnings.catch_warnings():  # about how first weights are drawn, which are not used
        warnings.simplefilter("ignore")
        model: nn.Module = models.get_model_builder(name)(num_classes=n_classes)
    return model


def _last_layer(tensors: Mapping[str, Tensor]) -> str:
    """The last layer with a matrix or filters, which in all of these gives the logits."""
    weights = [name for name, tensor in tensors.items() if tensor.ndim > 1]
    return weights[-1].rpartition(".")[0]
