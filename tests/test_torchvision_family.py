"""Every convolutional classifier of torchvision is found by name, by rules that name none."""

from __future__ import annotations

import re
from functools import partial

import pytest
import torch
import torchvision
from test_command import WITHOUT_TORCH, run, start
from torch import nn

from atlas.asked import AtlasSpec, Preparation
from atlas.errors import NetworkError, SpecError
from atlas.families import find_family
from atlas.families.architecture import (
    classifier_of,
    n_units_of,
    outline,
    unfilled,
    why_not_drawn,
)
from atlas.families.torchvision import FIRST_WEIGHTS, listed, title_of
from atlas.network.source import prepared, published_name, weights_source
from atlas.network.walk import walk

NAMES = torchvision.models.list_models(module=torchvision.models)
TRANSFORMERS = ("vit", "swin", "maxvit")  # as the tests know them; the package asks the modules


@pytest.fixture(scope="module")
def networks():
    return {network.name: network for network in listed()}


def test_without_options_images_are_prepared_to_the_letter_as_published():
    """Their addresses hold every number: 256 and 256.0 are different ones."""
    published = find_family("resnet50").weights[FIRST_WEIGHTS].preprocessing()
    assert repr(prepared(published, Preparation())) == repr(published)
    assert prepared(published, Preparation(input_size_px=112)).resize_px == 128


def test_a_network_that_weights_are_loaded_into_is_built_without_drawing_random_numbers():
    before = torch.get_rng_state()
    model = unfilled(lambda n: torchvision.models.get_model("resnet18", num_classes=n), 5)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(norm.running_var.eq(1).all() for norm in _norms(model))
    shapes = {key: tensor.shape for key, tensor in model.state_dict().items()}
    plain = torchvision.models.get_model("resnet18", num_classes=5)
    assert shapes == {key: tensor.shape for key, tensor in plain.state_dict().items()}


def test_numbers_beyond_the_limits_of_a_distribution_are_not_drawn_anew():
    weight = nn.Parameter(torch.full((4, 4), 100.0))

    def build(_: int) -> nn.Module:
        nn.init.trunc_normal_(weight)
        return nn.Identity()

    unfilled(build, 5)
    assert weight.eq(100).all()


def _norms(model):
    return [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]


# Which there are


def test_all_are_listed_but_transformers(networks):
    assert len(NAMES) >= 80
    assert set(networks) == {name for name in NAMES if not name.startswith(TRANSFORMERS)}


@pytest.mark.parametrize("name", ["vit_b_16", "swin_v2_t", "maxvit_t"])
def test_a_transformer_is_called_one(name):
    with pytest.raises(
        NetworkError,
        match=rf"^{name} is (mainly )?a transformer( \(.*\))?; the atlas draws convolut",
    ):
        find_family(name)


@pytest.mark.parametrize(
    ("name", "suggested"),
    [("vgg61", "vgg16"), ("ResNet50", "resnet50"), ("efficientnetb0", "efficientnet_b0")],
)
def test_a_misspelt_name_gets_the_closest(name, suggested):
    with pytest.raises(SpecError, match=rf"^no network called '{name}'; did you .*{suggested}"):
        find_family(name)


def test_what_resembles_nothing_is_sent_to_the_list():
    with pytest.raises(SpecError, match=r"^no network called 'q'; `models` lists those that"):
        find_family("q")


def test_a_network_of_patches_alone_is_no_convolutional_one():
    assert why_not_drawn(nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.Flatten(), nn.Linear(8, 2)))
    assert why_not_drawn(nn.Linear(2, 2)) == "has no convolutions"
    assert why_not_drawn(nn.Sequential(nn.MultiheadAttention(4, 2), nn.Conv2d(3, 8, 3)))
    assert not why_not_drawn(nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.Conv2d(8, 8, 3)))
    assert not why_not_drawn(nn.Sequential(nn.Conv2d(3, 8, 1)))


def test_the_command_lists_them(networks, monkeypatch):
    monkeypatch.setattr("atlas.families.torchvision.listed", networks.values)  # takes seconds
    result = run("models")
    assert result.code == 0
    row = r"vgg16 +VGG-16 +13,416 +553 MB  IMAGENET1K_V1"
    assert re.search(row, result.out)
    assert "vit_b_16" not in result.out


# What is said of them


@pytest.mark.parametrize(
    ("enum", "title"),
    [
        ("ResNet50_Weights", "ResNet-50"),
        ("VGG16_BN_Weights", "VGG-16-BN"),
        ("EfficientNet_B0_Weights", "EfficientNet-B0"),
        ("EfficientNet_V2_S_Weights", "EfficientNet-V2-S"),
        ("MNASNet0_75_Weights", "MNASNet-0.75"),
        ("ShuffleNet_V2_X1_5_Weights", "ShuffleNet-V2-X1.5"),
        ("RegNet_Y_3_2GF_Weights", "RegNet-Y-3.2GF"),
        ("ResNeXt101_64X4D_Weights", "ResNeXt-101-64x4d"),
        ("Wide_ResNet50_2_Weights", "Wide-ResNet-50-2"),
        ("GoogLeNet_Weights", "GoogLeNet"),
    ],
)
def test_titles_are_readable(enum, title):
    assert title_of(enum) == title


def test_titles_are_told_apart(networks):
    assert len({network.title for network in networks.values()}) == len(networks)


@pytest.mark.parametrize(
    ("name", "n_units", "file_mb"),
    [("resnet50", 27_560, 102.5), ("alexnet", 10_344, 244.4), ("resnet18", 5_800, 46.8)],
)
def test_the_list_says_units_and_sizes_of_files(networks, name, n_units, file_mb):
    assert networks[name].n_units == n_units
    assert networks[name].file_mb == pytest.approx(file_mb, abs=0.1)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "shufflenet_v2_x0_5"])
def test_the_units_of_the_list_are_those_of_the_walk(networks, name):
    family = find_family(name)
    layers = walk(family.build(1000).eval(), 64, family.classifier, family.place)
    assert sum(layer.n_units for layer in layers) == networks[name].n_units


# Weights


@pytest.mark.parametrize("name", NAMES)
def test_published_weights_and_preprocessing_are_torchvisions(name):
    if name.startswith(TRANSFORMERS):
        return
    family = find_family(name)
    enum = torchvision.models.get_model_weights(name)
    assert set(family.weights) == {each.name for each in enum if each.meta["categories"]}
    assert family.default_weights == next(iter(family.weights))
    for weights_name, published in family.weights.items():
        transforms = enum[weights_name].transforms()
        preprocessing = published.preprocessing()
        assert published.url() == enum[weights_name].url
        assert [preprocessing.size_px] == transforms.crop_size
        assert [preprocessing.resize_px] == transforms.resize_size
        assert preprocessing.interpolation == transforms.interpolation.value
    labels = family.labels()
    assert len(labels.names) == len(labels.wordnet_ids) == 1000


def test_weights_left_out_are_those_published_first_and_default_those_recommended():
    family = find_family("resnet50")
    enum = torchvision.models.ResNet50_Weights
    assert published_name(AtlasSpec(), family) == FIRST_WEIGHTS == next(iter(enum)).name
    for word in ("DEFAULT", "default", "Default"):
        assert published_name(AtlasSpec(weights=word), family) == enum.DEFAULT.name
    assert published_name(AtlasSpec(weights="imagenet1k_v1"), family) == FIRST_WEIGHTS
    assert enum.DEFAULT.name != FIRST_WEIGHTS
    spelled = AtlasSpec(weights="ResNet50_Weights.IMAGENET1K_V2")
    assert published_name(spelled, family) == "IMAGENET1K_V2"


def test_weights_without_classes_are_not_offered():
    features = "IMAGENET1K_FEATURES"
    assert features in {each.name for each in torchvision.models.VGG16_Weights}
    assert features not in find_family("vgg16").weights


def test_the_keys_of_caches_are_what_they_were():
    family = find_family("resnet50")
    assert weights_source(AtlasSpec(), family) == "resnet50 IMAGENET1K_V1"
    spelled = AtlasSpec(weights="ResNet50_Weights.IMAGENET1K_V2")
    assert weights_source(spelled, family) == "resnet50 IMAGENET1K_V2"


def test_what_is_known_of_a_network_is_told_without_torch(tmp_path):
    """Importing torchvision takes seconds; names are looked up when a network is opened."""
    name, weights = "shufflenet_v2_x0_5", tmp_path / "mine.pth"
    torch.save(torchvision.models.get_model(name).state_dict(), weights)
    asked = ("status", "--model", name, "--weights", weights, "--cache", tmp_path / "cache")
    first = run(*asked)
    assert first.out.startswith("ShuffleNet-V2-X0.5, weights mine.pth")
    again = start("-c", WITHOUT_TORCH, "build.py", *asked)
    out, err = again.communicate()
    assert again.returncode == 0, err.decode()
    assert out.decode() == first.out


# The classifier, and what is for training only


@pytest.mark.parametrize("name", ["resnet18", "vgg11", "squeezenet1_1", "densenet121", "googlenet"])
def test_the_classifier_is_what_follows_the_number_of_classes(name):
    family = find_family(name)
    layer = family.build(7).get_submodule(family.classifier)
    assert layer.weight.shape[0] == 7


def test_an_outline_has_no_memory_and_what_is_computed_has_values():
    """RegNet computes its widths from tensors."""
    assert all(
        tensor.is_meta for tensor in outline(find_family("regnet_y_400mf").build).parameters()
    )
    assert n_units_of(outline(lambda n_classes: nn.Linear(4, n_classes), 9)) == 9
    assert classifier_of(partial(nn.Linear, 4)) == ""  # it has no name by itself


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_auxiliary_heads_are_left_out_and_the_input_is_prepared_as_for_the_weights(name):
    """With published weights torchvision transforms the input; here its preprocessing does that."""
    family = find_family(name)
    ours = family.build(10).eval()
    assert not any("aux" in key.lower() for key in ours.state_dict())
    theirs = torchvision.models.get_model(
        name, num_classes=10, transform_input=True, aux_logits=False, init_weights=False
    ).eval()
    theirs.load_state_dict(ours.state_dict())
    published = family.weights[family.default_weights].preprocessing()
    transforms = torchvision.models.get_model_weights(name).DEFAULT.transforms()
    images = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = theirs(normalised(images, transforms.mean, transforms.std))
        torch.testing.assert_close(
            ours(normalised(images, published.mean, published.std)), expected, rtol=1e-4, atol=1e-4
        )


def normalised(images: torch.Tensor, mean, std) -> torch.Tensor:
    return torchvision.transforms.functional.normalize(images, mean, std)
