"""Receptive fields are as large as the part of the image that has a gradient."""

from __future__ import annotations

import pytest
import torch
from test_architectures import built, positive
from torch import Tensor, nn

from atlas.network.walk import walk
from atlas.units import Layer

SIZE_PX = 96


class Asymmetric(nn.Module):
    """Kernels, pools, paddings and strides that differ between rows and columns."""

    def __init__(self, *, turns: bool) -> None:
        super().__init__()
        self.turns = turns
        self.a = nn.Conv2d(3, 4, (1, 7), padding=(0, 3))
        self.b = nn.Conv2d(4, 4, (7, 1), padding=(3, 0))
        self.c = nn.Sequential(nn.ZeroPad2d((4, 0, 1, 0)), nn.Conv2d(4, 4, (2, 5)))
        self.pool = nn.AvgPool2d((1, 3), stride=(1, 2), padding=(0, 1))
        self.d = nn.Conv2d(4, 4, (3, 1), dilation=(4, 1), padding=(4, 0))
        self.up = nn.ConvTranspose2d(4, 4, (1, 3), stride=(1, 2), padding=(0, 1))
        self.e = nn.Conv2d(4, 4, (1, 3), stride=2, padding=(0, 1))
        self.fc = nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        x = self.b(self.a(images))
        x = self.d(self.pool(self.c(x)))
        if self.turns:
            x = x.permute(0, 1, 3, 2)
        return self.fc(self.e(self.up(x)).mean((2, 3)))


def seen_px(model: nn.Module, layer: Layer, size_px: int) -> tuple[int, int]:
    """Rows and columns of the image that the middle position of a layer's map depends on."""
    found: list[Tensor] = []
    handle = model.get_submodule(layer.name).register_forward_hook(
        lambda _m, _i, output: found.append(output)
    )
    images = torch.rand(1, 3, size_px, size_px, dtype=torch.double, requires_grad=True)
    model(images)
    handle.remove()
    middle = found[0][:, :, found[0].shape[2] // 2, found[0].shape[3] // 2].sum()
    (gradient,) = torch.autograd.grad(middle, images)
    is_seen = gradient.abs().sum((0, 1)) > 0
    rows, columns = (is_seen.any(dim).nonzero()[:, 0] for dim in (1, 0))
    return int(rows[-1] - rows[0] + 1), int(columns[-1] - columns[0] + 1)


@pytest.mark.parametrize("turns", [False, True])
def test_rows_and_columns_are_counted_apart(turns: bool):
    model = Asymmetric(turns=turns).eval()
    layers = [layer for layer in walk(model, SIZE_PX) if layer.is_conv]
    oracle = positive(model)
    assert [layer.name for layer in layers] == ["a", "b", "c.1", "d", "e"]
    for layer in layers:
        assert layer.receptive_field_px == max(seen_px(oracle, layer, SIZE_PX)), layer.name
    assert layers[1].receptive_field_px == 7


def test_rows_before_columns_make_no_larger_fields_in_inception():
    size_px = 299
    model = built("inception_v3")
    layers = {layer.name: layer for layer in walk(model, size_px)}
    oracle = positive(model)
    for name in ("Mixed_6b.branch7x7_3.conv", "Mixed_6b.branch7x7dbl_3.conv"):
        assert layers[name].receptive_field_px == max(seen_px(oracle, layers[name], size_px)) == 255
