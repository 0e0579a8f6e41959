"""Every convolutional classifier of torchvision is walked, and read as the network computes it.

Of transformers, which are read through hooks, the smallest of each design is walked.

Networks are built with weights that have a shape and no contents, where these are enough.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from conftest import make_network, randomise
from torch import Tensor, nn
from torchvision import models

from atlas.families.architecture import outline, why_not_drawn
from atlas.network.network import Network
from atlas.network.walk import walk
from atlas.units import Layer

INPUT_PX = 224
# The smallest of each design of transformers, and every other network.
TRANSFORMERS = ("maxvit_t", "swin_t", "swin_v2_t", "vit_b_16")
DESIGNS_OF_TRANSFORMERS = ("maxvit", "swin_transformer", "vision_transformer")


def names() -> list[str]:
    """The convolutional networks of torchvision, and the smallest transformer of each design."""
    every = models.list_models(module=models)
    designs = {name: models.get_model_builder(name).__module__.rpartition(".")[2] for name in every}
    return [
        name
        for name in every
        if designs[name] not in DESIGNS_OF_TRANSFORMERS or name in TRANSFORMERS
    ]


def built(name: str, *, weightless: bool = False) -> nn.Module:
    """A torchvision network with random weights, or with weights that have no contents."""
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    if not weightless:
        torch.manual_seed(0)
        return models.get_model(name, **options).eval()
    return outline(lambda _: models.get_model(name, **options)).to("meta").eval()


def is_cnn(model: nn.Module) -> bool:
    """Whether a network convolves more than patches, and has no attention."""
    kinds = [type(module).__name__.lower() for module in model.modules()]
    return kinds.count("conv2d") > 1 and not any("multiheadattention" in kind for kind in kinds)


def run_layers(model: nn.Module) -> dict[str, int]:
    """Units of the layers that a forward pass calls, by name: channels of maps and vectors."""
    found: dict[str, int] = {}
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Conv2d | nn.Linear):

            def keep(each: nn.Module, _inputs: Any, output: Tensor, name: str = name) -> None:
                channel_dim = 1 if isinstance(each, nn.Conv2d) else -1
                if output.ndim in (2, 4):
                    found[name] = output.shape[channel_dim]

            module.register_forward_hook(keep)
        elif isinstance(module, nn.BatchNorm2d):  # slow without contents
            model.set_submodule(name, nn.Identity())
    model(torch.empty(1, 3, INPUT_PX, INPUT_PX, device="meta"))
    return found


@pytest.mark.parametrize("name", names())
def test_every_layer_that_runs_is_walked(name: str):
    model = built(name, weightless=True)
    layers = walk(model, INPUT_PX)
    walked, run = {layer.name: layer.n_units for layer in layers}, run_layers(model)
    if not is_cnn(model):  # linear layers over tokens have no units
        assert walked.items() <= run.items()
        return
    assert walked == run
    assert [layer.n_units for layer in layers if layer.is_classifier] == [1000]
    assert len({layer.stage for layer in layers}) > 2
    by_stage = [layer.stage for layer in layers]
    in_one_piece = [stage for nth, stage in enumerate(by_stage) if by_stage[:nth][-1:] != [stage]]
    assert len(set(in_one_piece)) == len(in_one_piece)  # a stage is in one piece
    weights = models.get_model_weights(name).DEFAULT
    if weights.transforms().crop_size == [INPUT_PX]:
        assert layers[-1].macs == pytest.approx(weights.meta["_ops"] * 1e9, rel=0.02)


def positive(model: nn.Module) -> nn.Module:
    """The network in double precision with positive weights that keep values below 1.

    Then every pixel of a receptive field has a gradient: no ReLU is closed, no maximum hides
    another value, and nothing cancels. What gates see is detached.
    """
    generator = torch.Generator().manual_seed(0)
    model = copy.deepcopy(model).double()
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Conv2d | nn.Linear):
            weight = torch.rand(module.weight.shape, generator=generator, dtype=torch.double) + 0.5
            module.weight.data = weight / weight.flatten(1).sum(1).view(
                -1, *[1] * (weight.ndim - 1)
            )
        if isinstance(module, nn.MaxPool2d):
            pool = nn.AvgPool2d(module.kernel_size, module.stride, module.padding, module.ceil_mode)
            model.set_submodule(name, pool)
        if isinstance(module, nn.AdaptiveAvgPool2d):
            module.register_forward_hook(lambda _m, _i, output: output.detach())
    return model


def seen_rows(
    model: nn.Module, layers: Sequence[Layer], size_px: int
) -> Iterator[tuple[Layer, int, int]]:
    """First and last row of the image that the middle position of each layer's map depends on."""
    images = torch.rand(1, 3, size_px, size_px, dtype=torch.double, requires_grad=True)
    for layer, maps in hooked(model, layers, images):
        middle = maps.shape[2] // 2
        response = maps[:, :, middle, middle].sum()
        (gradient,) = torch.autograd.grad(response, images, retain_graph=True)
        rows = gradient.abs().sum((0, 1, 3)).nonzero()[:, 0]
        yield layer, int(rows[0]), int(rows[-1])


@pytest.mark.parametrize(
    "name",
    [
        *("squeezenet1_0", "resnet18", "googlenet", "shufflenet_v2_x0_5"),
        *("mobilenet_v3_small", "convnext_tiny", "densenet121", "mnasnet0_5", "regnet_y_400mf"),
    ],
)
def test_receptive_fields_are_where_the_gradient_is(name: str):
    size_px = 128
    model = built(name)
    layers = [
        layer
        for layer in walk(model, size_px)
        if layer.has_maps and layer.output_px != (1, 1) and layer.receptive_field_px < size_px * 0.7
    ]
    oracle = positive(model)
    assert len(layers) >= 3
    for layer, *rows in seen_rows(oracle, layers[:: max(1, len(layers) // 4)], size_px):
        middle = layer.output_px[0] // 2
        centre_px = layer.field_centre_px + middle * layer.total_stride_px
        reach_px = (layer.receptive_field_px - 1) / 2
        expected = [max(0, centre_px - reach_px), min(size_px - 1, centre_px + reach_px)]
        assert rows == expected, layer.name


def of_each_kind(network: Network) -> Iterator[Layer]:
    """A layer of each kind of a network, the last of its kind."""
    last: dict[tuple[object, ...], Layer] = {}
    for layer in network.layers:
        depthwise = layer.groups == layer.in_channels > 1
        kind = (layer.kind, layer.kernel != (1, 1), layer.stride != (1, 1), layer.groups > 1)
        last[(*kind, depthwise, layer.output_px == (1, 1))] = layer
    yield from last.values()


@pytest.mark.parametrize(
    "name",
    [
        *("alexnet", "squeezenet1_1", "densenet121", "mobilenet_v3_small", "googlenet"),
        *("shufflenet_v2_x0_5", "regnet_y_400mf", "convnext_tiny", "efficientnet_b0"),
        *("resnext50_32x4d", "mnasnet0_5"),
    ],
)
def test_a_tap_reads_what_a_hook_in_the_untouched_network_does(name: str):
    size_px = 64
    untouched = randomise(built(name))
    network = make_network(copy.deepcopy(untouched), size_px)
    images = torch.rand(2, 3, size_px, size_px)
    channels = torch.tensor([0, 1])
    for layer, expected in hooked(untouched, [*of_each_kind(network)], images):
        scale = float(expected.abs().max())
        tap, quick = network.tap(layer), network.tap(layer, "float32")
        assert_near(tap(images), expected, 1e-5 * scale)
        assert_near(quick(images), expected, 5e-5 * scale)
        if quick.ascended is not quick.module:  # a class's logit before its ReLU
            continue
        own = expected[channels, channels]
        for n_unread in (0, min(3, (own.shape[-1] - 1) // 2)):
            wanted = own[:, n_unread : own.shape[1] - n_unread, n_unread : own.shape[2] - n_unread]
            assert_near(quick.own_maps(images, channels, n_unread), wanted, 5e-5 * scale)


def hooked(
    model: nn.Module, layers: Sequence[Layer], images: Tensor
) -> Iterator[tuple[Layer, Tensor]]:
    """Layers' outputs in the network as it is, (B, n_units, h, w); of a class its logits."""
    found: dict[str, Tensor] = {}
    handles = [
        model.get_submodule(layer.name).register_forward_hook(
            lambda _m, _i, output, name=layer.name: found.update({name: output.clone()})
        )
        for layer in layers
    ]
    with torch.set_grad_enabled(images.requires_grad):
        logits = model(images)
    for handle in handles:
        handle.remove()
    for layer in layers:
        raw = logits if layer.is_classifier else found[layer.name]
        if raw.ndim == 2:
            raw = raw[:, :, None, None]
        yield layer, raw.permute(0, 3, 1, 2) if layer.kind == "pointwise" else raw


def assert_near(found: Tensor, expected: Tensor, tolerance: float) -> None:
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=0)


@pytest.mark.parametrize("name", ["alexnet", "squeezenet1_1", "mobilenet_v3_small"])
def test_one_pass_reads_every_layer_though_the_next_works_in_place(name: str):
    network = make_network(randomise(built(name)), 64)
    images = torch.rand(2, 3, 64, 64)
    normalised = network.reader(network.layers[0]).normalise(images)
    expected = {layer.name: raw for layer, raw in hooked(network.model, network.layers, normalised)}
    for reader, z in network.watch(network.layers).sigmas(images):
        raw = expected[reader.layer.name]
        error = (z - reader.all_sigmas(raw)) * reader.std[:, None, None]
        assert error.abs().max() < 2e-5 * raw.abs().max(), reader.layer.name


def test_resnet50_is_described_as_it_was():
    """Stages, blocks, writers and fields of the network that the atlas was made for."""
    layers = {layer.name: layer for layer in walk(built("resnet50", weightless=True), 224)}
    for name, layer in layers.items():
        parts = name.split(".")
        outside = "stem" if name == "conv1" else "classifier"
        assert layer.stage == (parts[0] if len(parts) > 1 else outside)
        assert layer.block == (".".join(parts[:2]) if len(parts) > 2 else None)
    reader = layers["layer2.1.conv1"]
    assert reader.inputs == reader.writers == ("layer2.0.conv3", "layer2.0.downsample.0")
    assert (reader.merge, reader.gates, reader.reads) == ("sum", (), None)
    assert layers["layer2.1.conv2"].inputs == ("layer2.1.conv1",)
    assert layers["layer2.1.conv2"].merge == ""
    assert layers["conv1"].inputs == ()
    assert all(dataclasses.asdict(layer)["is_traced"] for layer in layers.values())


def test_gates_multiply_and_concatenations_join():
    gated = {layer.name: layer for layer in walk(built("efficientnet_b0", weightless=True), 224)}
    project = gated["features.2.0.block.3.0"]
    assert project.inputs == project.writers == ("features.2.0.block.1.0",)
    assert project.gates == ("features.2.0.block.2.fc2",)
    assert project.receptive_field_px == gated["features.2.0.block.1.0"].receptive_field_px
    assert gated["features.2.0.block.2.fc1"].receptive_field_px >= 224
    dense = {layer.name: layer for layer in walk(built("densenet121", weightless=True), 224)}
    third = dense["features.denseblock1.denselayer3.conv1"]
    assert third.merge == "concat"
    layers_before = [f"features.denseblock1.denselayer{nth}.conv2" for nth in (1, 2)]
    assert third.writers == third.inputs == ("features.conv0", *layers_before)
    model = built("shufflenet_v2_x1_0", weightless=True)
    shuffled = {layer.name: layer for layer in walk(model, 224)}
    first = shuffled["stage2.1.branch2.0"]
    assert first.writers == ("stage2.0.branch1.2", "stage2.0.branch2.5")


class Attention(nn.Module):
    """Attention over positions, as timm writes it: it says how it splits channels."""

    num_heads = 2

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.qkv = nn.Conv2d(n_channels, 3 * n_channels, 1)

    def forward(self, maps: Tensor) -> Tensor:
        queries, keys, values = (part.flatten(2) for part in self.qkv(maps).chunk(3, 1))
        weights = (queries.transpose(1, 2) @ keys).softmax(-1)  # (B, positions, positions)
        return maps + (values @ weights.transpose(1, 2)).reshape(maps.shape)


def hybrid(n_convs: int, n_attention: int) -> nn.Module:
    torch.manual_seed(0)
    convs = [nn.Conv2d(3, 4, 4, 4), *(nn.Conv2d(4, 4, 3, padding=1) for _ in range(n_convs))]
    return nn.Sequential(*convs, *(Attention(4) for _ in range(n_attention)), nn.Conv2d(4, 6, 3))


@pytest.mark.parametrize(
    ("n_convs", "n_attention", "why"),
    [
        (5, 2, ""),
        (4, 2, "is mainly a transformer (2 modules of attention, 5 convolutions beside them)"),
        (0, 0, ""),
    ],
)
def test_a_hybrid_is_drawn_if_it_is_mainly_convolutional(n_convs, n_attention, why):
    assert why_not_drawn(hybrid(n_convs, n_attention)) == why


def test_what_attention_mixes_is_not_taken_for_known(capsys):
    """A convolution behind attention reads the whole image, not 28 pixels of it."""
    layers = {layer.name: layer for layer in walk(hybrid(5, 1).eval(), 40)}
    said = capsys.readouterr().err
    assert "the network has attention (6); it is read through hooks" in said
    assert list(layers) == ["0", "1", "2", "3", "4", "5", "6.qkv", "7"]
    assert not any(layer.is_traced for layer in layers.values())
    assert layers["7"].receptive_field_px == 40 and layers["7"].writers == ()
