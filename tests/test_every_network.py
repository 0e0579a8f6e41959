"""The smallest network of each of torchvision's designs goes all the way, with random weights.

All networks are walked in test_architectures.py; here signals are predicted and sites are built.
ATLAS_TEST_NETWORKS=all has every other convolutional network rendered as well, two units each of
the first and the last layer: some minutes, half of them for the ten largest. Without, one has.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_network
from site_reader import broken_links, read_pages
from torch import Tensor, nn
from torchvision import models

from atlas import paths
from atlas.asked import AtlasSpec, Preparation, Selection
from atlas.families.architecture import outline, unfilled, why_not_drawn
from atlas.generated_images import Images, reference_images
from atlas.kinds import KINDS
from atlas.kinds.excitatory import KIND as EXCITATORY
from atlas.kinds.natural import has_images
from atlas.network.network import Network
from atlas.network.tracing import LAYERS
from atlas.pipeline import Atlas
from atlas.places import Places
from atlas.units import Layer, Unit

N_CLASSES = 5
N_UNITS = 2
N_FEW_IMAGES = 4  # on which networks are measured before they are rendered
N_FEW_STEPS = 6  # of their ascents
SIZE_PX, RENDERED_PX = 96, 32
# Of one the maps would vanish; the other has much to compute, and enough positions in smaller ones.
OTHER_PX = {"inception_v3": 128, "convnext_tiny": 64}
LARGER_RENDERED_PX = {"alexnet": 64, "inception_v3": 80}
MOST_WEIGHTS = 100_000_000  # of a network that is rendered: larger ones take long to be read
ARE_OTHERS_RENDERED = os.environ.get("ATLAS_TEST_NETWORKS") == "all"
# Of the kinds that are ascents, which take the most time, the excitatory pictures alone.
RENDERED_KINDS = tuple(
    kind.name
    for kind in KINDS
    if not kind.needs_images
    and kind.possible is not has_images
    and (kind.steps is None or kind.name == "excitatory")
)
# Tuning shows hundreds of stimuli to the same readers that noise is shown to: three networks do.
TUNED = ("mobilenet_v3_small", "shufflenet_v2_x0_5", "squeezenet1_1")
N_RANDOM = 1_000_003  # a prime, so that no two units of a layer have the same weights
NORMS = (nn.BatchNorm2d, nn.LayerNorm)
OPTIONS = {"aux_logits": False, "init_weights": False}


def built(name: str) -> nn.Module:
    """A network of torchvision with random weights."""
    options = OPTIONS if name in ("googlenet", "inception_v3") else {}
    torch.manual_seed(0)
    model: nn.Module = models.get_model(name, num_classes=N_CLASSES, **options)
    return model


def quickly_built(name: str) -> nn.Module:
    """The same, with weights cut from one list of random numbers: drawing them all takes longest.

    What each layer gives varies as much as what it is given.
    """
    options = OPTIONS if name in ("googlenet", "inception_v3") else {}
    model = unfilled(lambda n: models.get_model(name, num_classes=n, **options), N_CLASSES)
    numbers = torch.randn(N_RANDOM, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, LAYERS):
                fan_in = module.weight[0].numel()
                for part in module.weight.flatten().split(N_RANDOM):
                    part.copy_(numbers[: len(part)]).mul_((2 / fan_in) ** 0.5)
                if module.bias is not None:
                    module.bias.zero_()
            elif isinstance(module, NORMS):
                module.reset_parameters()
    return model


def n_weights(name: str) -> int:
    """How many weights a network of torchvision has."""
    n: int = models.get_model_weights(name).DEFAULT.meta["num_params"]
    return n


def design_of(name: str) -> str:
    """The module of torchvision that has a network's code."""
    module: str = models.get_model_builder(name).__module__
    return module


def smallest_of_each_design() -> list[str]:
    """The convolutional network with fewest weights of each design."""
    names = sorted(models.list_models(module=models), key=n_weights, reverse=True)
    smallest = {design_of(name): name for name in names}
    return [
        name
        for name in sorted(smallest.values())
        if not why_not_drawn(outline(lambda _, name=name: built(name)))
    ]


NAMES = (  # as `smallest_of_each_design` finds them, which takes seconds
    *("alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet", "inception_v3"),
    *("mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small", "regnet_y_400mf", "resnet18"),
    *("shufflenet_v2_x0_5", "squeezenet1_1", "vgg11"),
)
DESIGNS = {design_of(name) for name in NAMES}
EVERY_NAME = [name for name in models.list_models(module=models) if design_of(name) in DESIGNS]
RENDERED = [name for name in NAMES if n_weights(name) < MOST_WEIGHTS]
# The largest first, so that no process is left with it alone.
OTHERS = sorted((name for name in EVERY_NAME if name not in RENDERED), key=n_weights, reverse=True)


def test_all_designs_are_there():
    assert len(EVERY_NAME) == 68
    assert [*NAMES] == smallest_of_each_design()
    assert [name for name in NAMES if name not in RENDERED] == ["vgg11"]
    assert "tuning" in RENDERED_KINDS and {*TUNED} < {*RENDERED}


@pytest.fixture(scope="module")
def named_network(request: pytest.FixtureRequest) -> tuple[str, Network]:
    """A network by its name, whose BatchNorms have the statistics of generated images."""
    size_px = OTHER_PX.get(request.param, SIZE_PX)
    model = calibrated(built(request.param).eval(), normalised_images(size_px))
    return request.param, make_network(model, size_px)


def normalised_images(size_px: int, n_images: int = 16) -> Tensor:
    """Generated images, (n_images, 3, size_px, size_px)."""
    images = torch.from_numpy(np.stack(list(reference_images(size_px, 3, n_images))))
    return (images - 0.5) / 0.25


def calibrated(model: nn.Module, images: Tensor) -> nn.Module:
    """The network with the statistics of these images in its BatchNorms, in evaluation mode."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the average of all batches
            module.reset_running_stats()
            module.train()
    with torch.no_grad():
        model(images)
    return model.eval()


def measured_inputs(
    network: Network, layers: list[Layer], images: Tensor
) -> dict[str, tuple[Tensor, Tensor]]:
    """Mean and standard deviation of the channels that each layer is given."""
    measured: dict[str, tuple[Tensor, Tensor]] = {}

    def keep(layer: Layer, values: Tensor) -> None:
        has_channels_last = layer.kind == "pointwise" or values.ndim == 2
        by_channel = (values.movedim(-1, 0) if has_channels_last else values.movedim(1, 0)).flatten(
            1
        )
        measured[layer.name] = by_channel.mean(1), by_channel.std(1)

    handles = [
        network.model.get_submodule(layer.name).register_forward_pre_hook(
            lambda _module, args, layer=layer: keep(layer, args[0])
        )
        for layer in layers
    ]
    with torch.no_grad():
        network.model(images)
    for handle in handles:
        handle.remove()
    return measured


@pytest.mark.parametrize("named_network", NAMES, indirect=True)
def test_the_input_of_every_layer_is_predicted(named_network: tuple[str, Network]):
    """Mean and deviation of what each layer is given, against those of generated images.

    What a pool leaves of them is not claimed.
    """
    _, network = named_network
    images = normalised_images(network.facts.preprocessing.size_px)
    known = {layer.name: network.wiring[layer.name] for layer in network.layers if layer.inputs}
    assert all(known.values())
    claimed = [
        layer
        for layer in network.layers
        if layer.output_px != (1, 1)  # what is one number for an image varies too little
        and (signal := known.get(layer.name))
        and signal.mean.isfinite().all()
    ]
    assert len(claimed) > len(known) / 5
    mean_errors, log_ratios = [], []
    for layer_name, (mean, std) in measured_inputs(network, claimed, images).items():
        signal = known[layer_name]
        assert signal is not None and len(signal.mean) == len(mean)
        moves = std > 1e-6
        mean_errors.append(float(((signal.mean - mean).abs() / std)[moves].median()))
        log_ratios.append(float((signal.variance.sqrt() / std)[moves].log().median()))
    assert np.median(mean_errors) < 0.2
    assert np.exp(np.median(log_ratios)) == pytest.approx(1, abs=0.1)
    assert np.mean(np.abs(log_ratios) < np.log(1.5)) > 0.9


def few_images(size_px: int, n_channels: int) -> Iterator[Images]:
    """The first of the images that networks are measured on."""
    return reference_images(size_px, n_channels, N_FEW_IMAGES)


def kinds_of(name: str) -> tuple[str, ...]:
    """Kinds that are made of a network."""
    return tuple(kind for kind in RENDERED_KINDS if kind != "tuning" or name in TUNED)


def picked(layers: tuple[Layer, ...]) -> list[Layer]:
    """The first layer, the last one, and of those between one of each kind."""
    kinds = {
        (layer.kind, layer.groups > 1, layer.kernel != (1, 1)): layer for layer in layers[1:-1]
    }
    return [layers[0], *kinds.values(), layers[-1]]


@pytest.fixture
def at_little_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measures networks on few images, and takes few steps of an ascent.

    How well signals are predicted is tested above, and how far an ascent gets elsewhere; pages are
    the same with rougher numbers.
    """
    monkeypatch.setattr("atlas.network.network.reference_images", few_images)
    monkeypatch.setattr("atlas.recipes.PREVIEW_STEPS", N_FEW_STEPS)


@pytest.mark.usefixtures("at_little_cost")
@pytest.mark.parametrize("named_network", RENDERED, indirect=True)
def test_two_units_are_rendered_and_no_link_is_broken(
    named_network: tuple[str, Network], tmp_path: Path
):
    name, network = named_network
    torch.save(network.model.state_dict(), tmp_path / "weights.pth")
    layers = [layer.name for layer in picked(network.layers)]
    assert_rendered(name, layers, kinds_of(name), tmp_path)


@pytest.mark.usefixtures("at_little_cost")
@pytest.mark.parametrize("name", OTHERS if ARE_OTHERS_RENDERED else OTHERS[-1:])
def test_two_units_of_the_first_and_the_last_layer_are_rendered(name: str, tmp_path: Path):
    images = normalised_images(LARGER_RENDERED_PX.get(name, RENDERED_PX), N_FEW_IMAGES)
    model = calibrated(quickly_built(name).eval(), images)
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    layers = [each for each, module in model.named_modules() if isinstance(module, LAYERS)]
    del model  # the largest has 2.6 GB of weights
    assert_rendered(name, [layers[0], layers[-1]], ("filter", "excitatory"), tmp_path)


def assert_rendered(name: str, layers: list[str], kinds: tuple[str, ...], folder: Path) -> None:
    """Build the site of two units of each of these layers, with the weights in a folder.

    The first and the last of the layers are those of the network.
    """
    asked = AtlasSpec(
        family=name,
        weights=str(folder / "weights.pth"),
        preset="preview",
        kinds=kinds,
        selection=Selection(tuple(layers), (range(N_UNITS),)),
        preparation=Preparation(input_size_px=LARGER_RENDERED_PX.get(name, RENDERED_PX)),
    )
    places = Places(folder / "site", folder / "cache", device="cpu")
    with Atlas(asked, places) as atlas:
        atlas.build()
        network_layers, entries = atlas.facts.layers, atlas.cache.of_kind(EXCITATORY.name)
    assert [layers[0], layers[-1]] == [network_layers[0].name, network_layers[-1].name]
    units = [unit for layer in network_layers if layer.name in layers for unit in two_units(layer)]
    assert sorted(entry.unit for entry in entries) == sorted(unit.id for unit in units)
    # Deep units of a random network hardly depend on the image. Of some of its first units few
    # positions are driven far, and the mean may fall.
    first = network_layers[0]
    records = [
        entry.record(EXCITATORY.record, first.score_name)
        for entry in entries
        if entry.unit in {unit.id for unit in two_units(first)}
    ]
    assert any(record.score > record.start for record in records)
    assert all(record.peak is not None and record.peak > record.start for record in records)
    pages = read_pages(places.out_dir)
    assert all(paths.layer_page(layer) in pages for layer in layers)
    assert all(paths.unit_page(unit) in pages for unit in units)
    assert broken_links(places.out_dir, pages) == []


def two_units(layer: Layer) -> tuple[Unit, ...]:
    return layer.units[:N_UNITS]
