"""Products with weights that a network writes out are layers, as calls of `linear` are."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from conftest import make_network
from torch import Tensor, nn

from atlas.network.tracing import trace
from atlas.network.walk import walk

SIZE_PX = 16
N_CHANNELS, N_CLASSES = 4, 3

Head = Callable[[Tensor, nn.Linear], Tensor]

HEADS: dict[str, Head] = {
    "matmul": lambda x, head: x @ head.weight.t() + head.bias,
    "bias first": lambda x, head: head.bias + torch.matmul(x, head.weight.T),
    "mm": lambda x, head: x.mm(head.weight.t()).add(head.bias),
    "without bias": lambda x, head: torch.mm(x, head.weight.t()),
    "addmm": lambda x, head: torch.addmm(head.bias, x, head.weight.t()),
    "einsum": lambda x, head: torch.einsum("bc,kc->bk", x, head.weight) + head.bias,
    "einsum, weights first": lambda x, head: torch.einsum("kc,bc->bk", head.weight, x) + head.bias,
    "einsum, transposed": lambda x, head: torch.einsum("b c, c k -> b k", x, head.weight.t()),
    "einsum, any axes": lambda x, head: torch.einsum("...i,oi->...o", x, head.weight) + head.bias,
    "normalised": lambda x, head: x @ nn.functional.normalize(head.weight, dim=1).t(),
}


class Headed(nn.Module):
    """A conv, a mean over positions, and a product with the weights of `head`."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, N_CHANNELS, 3, padding=1)
        self.head = nn.Linear(N_CHANNELS, N_CLASSES)
        self.apply_head = head

    def forward(self, images: Tensor) -> Tensor:
        return self.apply_head(self.conv(images).relu().mean((2, 3)), self.head)


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
@torch.no_grad()
def test_a_written_out_product_is_the_classifier_and_gives_its_logits(head: Head) -> None:
    torch.manual_seed(0)
    network = make_network(Headed(head), SIZE_PX)
    assert [(layer.name, layer.kind) for layer in network.layers] == [
        ("conv", "conv"),
        ("head", "classifier"),
    ]
    layer = network.facts.layer("head")
    assert (layer.n_units, layer.in_channels, layer.writers) == (N_CLASSES, N_CHANNELS, ("conv",))
    images = torch.rand(5, 3, SIZE_PX, SIZE_PX)
    logits = network.tap(layer, "float32")(images)[:, :, 0, 0]
    torch.testing.assert_close(logits, network.model(images))


class Mixed(nn.Module):
    """Channels of maps are mixed by a matrix, as a convolution of one pixel would."""

    def __init__(self, equation: str, *, is_weight: bool = True) -> None:
        super().__init__()
        self.conv, self.last = nn.Conv2d(3, 4, 3), nn.Conv2d(5, 2, 1)
        matrix = torch.randn(5, 4)
        self.equation, self.mix = equation, nn.Module()
        if is_weight:
            self.mix.weight = nn.Parameter(matrix)
        else:
            self.mix.register_buffer("weight", matrix)

    def forward(self, images: Tensor) -> Tensor:
        maps = torch.einsum(self.equation, self.conv(images), self.mix.weight)
        return self.last(maps).mean((2, 3))


def test_channels_of_maps_are_mixed_by_a_layer() -> None:
    torch.manual_seed(0)
    conv, mix, last = walk(Mixed("bchw,kc->bkhw").eval(), SIZE_PX)
    assert (mix.name, mix.n_units, mix.in_channels, mix.kernel) == ("mix", 5, 4, (1, 1))
    assert mix.inputs == (conv.name,) and last.inputs == ("mix",)
    assert mix.receptive_field_px == conv.receptive_field_px == 3


class Shifted(Mixed):
    """The mixed maps with a vector added along their columns, which is no bias of channels."""

    def __init__(self) -> None:
        super().__init__("bchw,kc->bkhw")
        self.shift = nn.Parameter(torch.randn(5))

    def forward(self, images: Tensor) -> Tensor:
        maps = torch.einsum(self.equation, self.conv(images), self.mix.weight)  # (B, 5, 5, 5)
        return self.last(torch.relu(maps + self.shift)).mean((2, 3))


@torch.no_grad()
def test_what_is_added_along_columns_is_no_bias_of_channels() -> None:
    torch.manual_seed(0)
    model = Shifted().eval()
    images = torch.rand(2, 3, 7, 7)
    torch.testing.assert_close(trace(model, 3, 7)(images), model(images))


def test_a_fixed_matrix_is_no_layer() -> None:
    fixed = walk(Mixed("bchw,kc->bkhw", is_weight=False).eval(), SIZE_PX)
    assert [layer.name for layer in fixed] == ["conv", "last"]
