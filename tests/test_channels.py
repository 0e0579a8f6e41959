"""Networks of one channel or four are given images in their channels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from atlas.asked import AtlasSpec, Preparation, Selection
from atlas.families.custom import family_in_memory
from atlas.library import open_network, render
from atlas.network.channels import as_rgb, in_channels_of
from atlas.network.load import load_network

IMAGES = torch.rand(2, 3, 5, 5, generator=torch.Generator().manual_seed(0))


def mean_of(*values: float) -> Tensor:
    return torch.tensor(values).view(1, -1, 1, 1)


def test_three_channels_are_the_images_themselves():
    assert in_channels_of(mean_of(0.4, 0.5, 0.6), IMAGES) is IMAGES


def test_one_channel_is_brightness_as_pillow_has_it():
    levels = (IMAGES[0] * 255).round().byte()
    expected = Image.fromarray(levels.permute(1, 2, 0).numpy()).convert("L")
    grey = in_channels_of(mean_of(0.5), levels[None] / 255)
    assert grey.shape == (1, 1, 5, 5)
    assert np.abs(grey[0, 0].numpy() * 255 - np.asarray(expected)).max() < 1


def test_what_further_channels_stand_for_is_not_known_so_they_stay_at_their_mean():
    given = in_channels_of(mean_of(0.4, 0.5, 0.6, 0.7), IMAGES)
    assert torch.equal(given[:, :3], IMAGES)
    assert torch.equal(given[:, 3], torch.full((2, 5, 5), 0.7))
    assert in_channels_of(mean_of(0.4, 0.9), IMAGES)[:, 1].unique().tolist() == [pytest.approx(0.9)]


def test_the_mean_colour_is_grey_where_there_is_no_colour():
    assert as_rgb(torch.tensor([0.2])).tolist() == pytest.approx([0.2] * 3)
    assert as_rgb(torch.tensor([0.1, 0.2, 0.3, 0.4])).tolist() == pytest.approx([0.1, 0.2, 0.3])


class Grey(nn.Module):
    """A network whose first unit answers to bright spots."""

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(n_channels, 4, 5, padding=2)
        self.bn = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, 3)
        with torch.no_grad():
            self.conv.weight[0] = -1 / 24
            self.conv.weight[0, :, 2, 2] = 1

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.bn(self.conv(images)).relu().mean((2, 3)))


@pytest.mark.parametrize("n_channels", [1, 4])
@pytest.mark.parametrize("recipe", ["fourier", "progressive"])
def test_pictures_are_made_of_networks_with_other_channels(n_channels, recipe):
    torch.manual_seed(0)
    network = open_network(Grey(n_channels), input_size_px=32, device="cpu")
    assert len(network.facts.preprocessing.mean) == n_channels
    (picture,) = render(network, "conv:0", preset="preview", recipe=recipe)
    assert picture.record.peak > picture.record.start
    assert picture.pixels.shape[2] == 3


def test_a_site_of_a_network_of_one_channel_has_every_kind(tmp_path):
    from atlas.catalogue import Catalogue
    from atlas.pipeline import Atlas
    from atlas.places import Places

    torch.manual_seed(0)
    places = Places(tmp_path / "site", tmp_path / "cache", device="cpu")
    (tmp_path / "photos").mkdir()
    for index in range(3):
        Image.new("RGB", (40, 40), ("red", "green", "blue")[index]).save(
            tmp_path / "photos" / f"{index}.png"
        )
    places = Places(
        tmp_path / "site", tmp_path / "cache", device="cpu", images_dir=tmp_path / "photos"
    )
    family = family_in_memory(Grey(1))
    asked = AtlasSpec(
        family=family.name,
        preset="preview",
        selection=Selection(units=(range(2),)),
        preparation=Preparation(input_size_px=32),
    )
    assert load_network(asked, family).facts.preprocessing.mean == (0.5,)
    with Atlas(asked, places, Catalogue(families=(family,))) as atlas:
        report = atlas.build()
    assert report.n_made > 20
    assert (tmp_path / "site" / "conv" / "0001.html").is_file()
    for index, colour in enumerate(("red", "green", "blue")):
        with Image.open(tmp_path / "site" / "photographs" / f"p{index:04d}.webp") as photograph:
            shown = np.asarray(photograph.convert("RGB"), int)
        brightness = Image.new("RGB", (1, 1), colour).convert("L").getpixel((0, 0))
        assert np.abs(shown - brightness).max() <= 2
