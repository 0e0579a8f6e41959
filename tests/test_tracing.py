"""Layers are found and read whatever way a network calls them."""

from __future__ import annotations

import copy
import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F
from conftest import make_network, randomise
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from atlas.network.network import Network
from atlas.network.tracing import part_of, trace
from atlas.network.walk import walk

SIZE_PX = 32


class SamePadding(nn.Conv2d):
    """Pads by itself so that the stride divides the map, one more below and to the right.

    What it pads follows from the size of its input, which torch.fx could not trace.
    """

    def forward(self, x: Tensor) -> Tensor:
        pads = []
        for size, kernel, stride in zip(x.shape[2:], self.kernel_size, self.stride, strict=True):
            total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
            pads.append((total // 2, total - total // 2))
        (top, bottom), (left, right) = pads
        return super().forward(F.pad(x, (left, right, top, bottom)))


class Standardised(nn.Conv2d):
    """Standardises its weights before it uses them."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, standardised(self.weight), self.bias, self.stride, self.padding)


def standardised(weight: Tensor) -> Tensor:
    mean, std = weight.mean((1, 2, 3), keepdim=True), weight.std((1, 2, 3), keepdim=True)
    return (weight - mean) / (std + 1e-5)


class Functional(nn.Module):
    """Weights of its own, standardised and used in a function; it has a BatchNorm inside."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_out, n_in, 3, 3) / 5)
        self.gain = nn.Parameter(torch.ones(1))
        self.norm = nn.BatchNorm2d(n_out)

    def forward(self, x: Tensor) -> Tensor:
        maps = F.conv2d(x, standardised(self.weight), None, (2, 2), (1, 1))
        return self.norm(maps).relu() * self.gain


def parametrised(kind: str) -> nn.Module:
    conv = nn.Conv2d(4, 6, 3, 2, 1)
    return getattr(parametrizations, kind)(conv)


MIDDLES = {
    "own padding": lambda: SamePadding(4, 6, 3, 2),
    "standardised": lambda: Standardised(4, 6, 3, 2, 1),
    "functional": lambda: Functional(4, 6),
    "weight norm": lambda: parametrised("weight_norm"),
    "spectral norm": lambda: parametrised("spectral_norm"),
    "lazy": lambda: nn.LazyConv2d(6, 3, 2, 1),
    "reflecting": lambda: nn.Conv2d(4, 6, 3, 2, 1, padding_mode="reflect"),
    "same": lambda: nn.Conv2d(4, 6, 4, padding="same"),
}


class Around(nn.Module):
    """A conv, a middle of some kind, another conv, and a head whose weights a function uses."""

    def __init__(self, middle: nn.Module) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.middle, self.last = middle, nn.Conv2d(6, 5, 3, padding=1)
        self.head = nn.Linear(5, 3)

    def forward(self, images: Tensor, scale: float = 1.0, **more: Tensor) -> Tensor:
        if scale != 1.0 or more:  # nothing but the images is given
            raise ValueError(scale)
        x = self.norm(self.first(images)).relu_()
        x = F.relu(self.last(F.relu(self.middle(x), inplace=True)))
        return F.linear(x.mean((2, 3)), self.head.weight, self.head.bias)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("kind", MIDDLES)
@torch.no_grad()
def test_any_conv_is_a_layer_that_is_read_as_it_is(kind: str):
    torch.manual_seed(0)
    model = Around(MIDDLES[kind]()).eval()
    model(torch.zeros(1, 3, SIZE_PX, SIZE_PX))  # a lazy layer gets its shape
    network = make_network(randomise_norms(copy.deepcopy(model)), SIZE_PX)
    assert [layer.name for layer in network.layers] == ["first", "middle", "last", "head"]
    middle, head = network.facts.layer("middle"), network.facts.layer("head")
    assert (middle.n_units, middle.in_channels, head.kind) == (6, 4, "classifier")
    assert (middle.inputs, middle.writers) == (("first",), ("first",))
    images, channels = torch.rand(6, 3, SIZE_PX, SIZE_PX), torch.arange(6)
    x = network.model.norm(network.model.first(images)).relu()
    owner = network.model.middle
    expected = owner(x)
    if kind == "functional":
        expected = F.conv2d(x, standardised(owner.weight), None, 2, 1)
    assert middle.output_px == tuple(expected.shape[2:])
    for precision in (None, "float32"):
        tap = network.tap(middle, precision)
        torch.testing.assert_close(tap(images), expected, atol=1e-5, rtol=1e-5)
        for n_unread in (0, 2):
            own = expected[channels, channels][:, n_unread:999, n_unread:999]
            own = own[:, : own.shape[1] - n_unread, : own.shape[2] - n_unread]
            found = tap.own_maps(images, channels, n_unread)
            torch.testing.assert_close(found, own, atol=1e-5, rtol=1e-5)
    last = network.facts.layer("last")
    logits = network.model(images)
    torch.testing.assert_close(network.tap(head, "float32")(images)[:, :, 0, 0], logits)
    z = {reader.layer: maps for reader, maps in network.watch(network.layers).sigmas(images)}
    reader = network.reader(middle)
    seen = network.tap(middle)(reader.normalise(images))
    torch.testing.assert_close(z[middle], reader.all_sigmas(seen), atol=1e-4, rtol=1e-4)
    assert z[last].shape[1] == 5


def randomise_norms(model: nn.Module) -> nn.Module:
    """The network with BatchNorm statistics, and no other weights, from a seed."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(-1, 1)
    return model


def test_the_weights_shown_are_those_that_are_used():
    torch.manual_seed(0)
    for kind in ("standardised", "functional"):
        network = make_network(Around(MIDDLES[kind]()), SIZE_PX)
        expected = standardised(network.model.middle.weight)
        torch.testing.assert_close(network.weight(network.facts.layer("middle")), expected)
    model = Around(parametrised("weight_norm"))
    network = make_network(model, SIZE_PX)
    found = network.weight(network.facts.layer("middle"))
    torch.testing.assert_close(found, model.middle.weight.detach())


def test_padding_is_what_a_layer_really_does():
    layer = walk(Around(SamePadding(4, 6, 3, 2)).eval(), SIZE_PX)[1]
    assert (layer.padding, layer.stride, layer.output_px) == ((0, 0), (2, 2), (16, 16))
    assert (layer.receptive_field_px, layer.field_centre_px) == (5, 1.0)  # rows -1 to 3
    symmetric = walk(Around(Standardised(4, 6, 3, 2, 1)).eval(), SIZE_PX)[1]
    assert (symmetric.padding, symmetric.field_centre_px) == ((1, 1), 0.0)


@dataclasses.dataclass
class Answer:
    features: Tensor
    logits: Tensor


class Outputs(nn.Module):
    """Gives more than the logits; a second head is trained along and not asked for."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.conv, self.fc, self.aux = nn.Conv2d(3, 8, 3), nn.Linear(8, 3), nn.Linear(8, 2)
        self.form = form

    def forward(self, images: Tensor):
        maps = self.conv(images).relu()
        features = maps.mean((2, 3))
        logits = self.fc(features)
        if self.form == "tuple":
            return maps, [logits, self.aux(features)]
        if self.form == "dict":
            return {"features": maps, "out": logits, "aux": self.aux(features)}
        if self.form == "dataclass":
            return Answer(maps, logits)
        return maps, features  # no classes


@pytest.mark.parametrize("form", ["tuple", "dict", "dataclass"])
def test_the_first_output_with_classes_is_the_main_one(form: str):
    layers = walk(Outputs(form).eval(), SIZE_PX)
    assert [(layer.name, layer.kind) for layer in layers] == [
        ("conv", "conv"),
        ("fc", "classifier"),
    ]


def test_a_network_without_classes_has_no_classifier():
    model = Outputs("features").eval()
    assert [(layer.name, layer.kind) for layer in walk(model, SIZE_PX)] == [("conv", "conv")]


class ConvClassifier(nn.Module):
    """Classes are channels, rectified and averaged over positions, and then probabilities."""

    def __init__(self, *, softmax: bool) -> None:
        super().__init__()
        self.conv, self.classes = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 1)
        self.softmax = softmax

    def forward(self, images: Tensor) -> Tensor:
        maps = F.relu(self.classes(F.relu(self.conv(images))))
        logits = F.adaptive_avg_pool2d(maps, 1).flatten(1)
        return logits.softmax(1) if self.softmax else logits


@pytest.mark.parametrize("softmax", [False, True])
def test_a_conv_may_give_the_classes(softmax: bool):
    torch.manual_seed(0)
    model = ConvClassifier(softmax=softmax).eval()
    network = make_network(model, SIZE_PX)
    layer = network.facts.layer("classes")
    assert (layer.kind, layer.output_px, layer.score_name) == ("classifier", (1, 1), "logit")
    assert layer.receptive_field_px == 3 + 29  # of 30 positions
    images = torch.rand(5, 3, SIZE_PX, SIZE_PX)
    logits = network.tap(layer, "float32")(images)[:, :, 0, 0]
    output = network.model(images)
    torch.testing.assert_close(logits.softmax(1) if softmax else logits, output)
    own = network.tap(layer, "float32").own_maps(images, torch.arange(5))
    unrectified = model.classes(F.relu(model.conv(images))).mean((2, 3))
    torch.testing.assert_close(own[:, 0, 0], unrectified.diagonal())
    (_, z) = next(iter(network.watch([layer]).sigmas(images)))
    normal = network.reader(layer).normalise(images)
    torch.testing.assert_close(z, network.tap(layer)(normal))


@pytest.mark.parametrize("n_channels", [1, 4])
def test_images_may_have_another_number_of_channels(n_channels: int):
    model = randomise(nn.Sequential(nn.Conv2d(n_channels, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3)))
    facts = make_network(nn.Sequential(nn.Conv2d(3, 4, 3)), SIZE_PX).facts
    layers = walk(model.eval(), SIZE_PX, n_channels=n_channels)
    grey = dataclasses.replace(
        facts.preprocessing, mean=(0.5,) * n_channels, std=(0.25,) * n_channels
    )
    network = Network(model, dataclasses.replace(facts, layers=layers, preprocessing=grey))
    images = torch.rand(2, n_channels, SIZE_PX, SIZE_PX)
    tap = network.tap(layers[1], "float32")
    torch.testing.assert_close(tap(tap.normalise(images)), model((images - 0.5) / 0.25))
    assert network.reader(layers[0]).std.min() > 0


class Overwritten(nn.Module):
    """A map is changed in place, by a statement whose result is not used, before it is read."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.left, self.right = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(3))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.conv(images)
        before = self.left(maps)
        self.relu(maps)
        return before + self.right(maps)


def test_a_change_in_place_counts_for_what_is_read_after_it():
    torch.manual_seed(0)
    model = Overwritten().eval()
    traced = trace(model, 3, SIZE_PX)
    images = torch.rand(1, 3, SIZE_PX, SIZE_PX)
    torch.testing.assert_close(traced(images), model(images))
    nodes = {str(node.target): node for node in traced.graph.nodes}
    raw = model.conv(images)
    part = part_of(traced, {"conv": nodes["conv"], "right": nodes["right"], "left": nodes["left"]})
    found = part(images)
    torch.testing.assert_close(found["conv"], raw)
    torch.testing.assert_close(found["left"], model.left(raw))
    torch.testing.assert_close(found["right"], model.right(raw.relu()))


def test_a_conv_with_two_batchnorms_is_not_folded():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)
            self.one, self.two, self.last = nn.BatchNorm2d(3), nn.BatchNorm2d(3), nn.Conv2d(3, 2, 1)

        def forward(self, images: Tensor) -> Tensor:
            return self.last(self.two(self.conv(self.one(self.conv(images)))))

    network = make_network(randomise(Twice()), SIZE_PX)
    images = torch.rand(2, 3, SIZE_PX, SIZE_PX)
    quick = network.tap(network.facts.layer("last"), "float32")
    torch.testing.assert_close(quick(images), network.model(images), atol=1e-5, rtol=1e-5)
    assert network.facts.layer("last").macs == (2 * 81 + 6) * SIZE_PX**2  # both calls are work


class OwnWeights(nn.Module):
    """A network whose first layers are calls of functions with its own parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(4, 3, 3, 3))
        self.register_buffer("fixed", torch.randn(5, 4, 3, 3))
        self.c = nn.Conv2d(5, 4, 3)

    def forward(self, images: Tensor) -> Tensor:
        maps = F.conv2d(F.conv2d(images, self.w).relu(), self.fixed).relu()
        return self.c(maps).mean((2, 3)) + self.w.mean()


def test_weights_of_the_network_itself_make_layers():
    model = OwnWeights()
    network = make_network(model, SIZE_PX)
    assert [(layer.n_units, layer.in_channels) for layer in network.layers] == [
        *((4, 3), (5, 4), (4, 5)),
    ]
    first, second, _ = network.layers
    assert torch.equal(network.weight(first), model.w)
    assert torch.equal(network.weight(second), model.fixed)
    images = torch.rand(2, 3, SIZE_PX, SIZE_PX)
    maps = F.conv2d(images, model.w)
    torch.testing.assert_close(network.tap(first)(images), maps)
    torch.testing.assert_close(network.tap(second)(images), F.conv2d(maps.relu(), model.fixed))


class Stopping(nn.Module):
    """A network that stops gradients, for instance since what comes before is not trained."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.a, self.b, self.fc = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        x = self.a(images).relu()
        if self.way == "detach":
            x = x.detach()
        elif self.way == "data":
            x = x.data
        elif self.way == "function":
            x = torch.detach(x)
        elif self.way == "no_grad":
            with torch.no_grad():
                x = self.a(images).relu()
        return self.fc(self.b(x).relu().mean((2, 3)))


@pytest.mark.parametrize("way", ["detach", "data", "function", "no_grad"])
def test_the_gradient_goes_through_what_stops_it_in_training(way: str):
    torch.manual_seed(0)
    model = Stopping(way)
    open_model = Stopping("open")
    open_model.load_state_dict(model.state_dict())
    gradients = []
    for each in (model, open_model):
        network = make_network(each, SIZE_PX)
        images = torch.rand(2, 3, SIZE_PX, SIZE_PX, generator=torch.Generator().manual_seed(0))
        images.requires_grad_(True)
        network.tap(network.facts.layer("b"), "float32")(images).square().sum().backward()
        gradients.append(images.grad)
    assert gradients[0].abs().sum() > 0
    torch.testing.assert_close(*gradients)
