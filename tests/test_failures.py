"""A network that cannot be run is told why, and what to do about it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from atlas.errors import NetworkError
from atlas.network.walk import walk


class Own(nn.Module):
    """A network whose forward is a function of its convolution and its input."""

    def __init__(self, forward) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self._forward = forward

    def forward(self, images):
        return self._forward(self.conv, images)


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, left, right, scale=2):
        return self.conv(left) + self.conv(right)


def away(conv, images):
    raise RuntimeError("Found no NVIDIA driver on your system.")


def mixed(conv, images):
    raise RuntimeError("Expected all tensors to be on the same device, but found two")


def unknown(conv, images):
    return conv(images) * {}["scale"]


def halved(conv, images):
    return conv(images.half())


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (TwoInputs(), r"it takes 2 inputs \(left, right\); let the function return a module"),
        (nn.Sequential(nn.Conv3d(3, 4, 3)), r"a network for volumes or videos \(Conv3d\); the"),
        (nn.Sequential(nn.Conv1d(3, 4, 3)), r"a network for sequences \(Conv1d\); the atlas"),
        (Own(away), "Found no NVIDIA driver.*; let its code make tensors on the device of"),
        (Own(mixed), "on the same device.*; let its code make tensors on the device of"),
        (Own(halved), "run in float32: .*; let its code leave the image in the type that it has"),
        (Own(unknown), r"KeyError: 'scale' \(.*test_failures\.py:\d+\); mend it there"),
        (nn.Sequential(nn.Conv2d(1, 4, 3)), "to have 1 channels.*; --input-size, --mean and --std"),
        (
            nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(7, 3)),
            "cannot be multiplied .*; --input-size, --mean and --std say what it takes",
        ),
    ],
)
def test_each_cause_has_its_own_remedy_and_nothing_else_is_said(model, words, capsys):
    with pytest.raises(NetworkError, match=words) as caught:
        walk(model.eval(), 20)
    assert "\n" not in str(caught.value)
    assert ("--input-size" in str(caught.value)) == ("--input-size" in words)
    assert capsys.readouterr().err == ""


def test_an_image_with_one_channel_has_no_plural():
    with pytest.raises(NetworkError, match="an image of 20 px with 1 channel:"):
        walk(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(3, 2, 3)), 20, n_channels=1)


def test_code_that_asks_for_a_gpu_while_it_is_built_is_told_to_stay(tmp_path, monkeypatch):
    from atlas.families import find_family

    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text("def make():\n    raise RuntimeError('no CUDA device')\n")
    with pytest.raises(NetworkError, match=r"net\.py:2: .*; let it stay on the CPU"):
        find_family("net.py:make")
    assert torch.is_grad_enabled()


class OneImage(nn.Module):
    """Drops the dimension of the batch, or refuses more than one image."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)

    def forward(self, images):
        if self.way == "refused":
            assert images.shape[0] == 1
        maps = self.conv(images).mean((2, 3))
        return self.fc(maps.view(1, -1) if self.way == "dropped" else maps)


@pytest.mark.parametrize(("way", "layer"), [("dropped", "fc"), ("refused", "conv")])
def test_a_network_for_one_image_at_a_time_is_refused(way, layer):
    with pytest.raises(NetworkError, match=f"one image at a time: {layer} .*; let its code keep"):
        walk(OneImage(way).eval(), 16)
    assert len(walk(OneImage("any").eval(), 16)) == 2
