"""Networks of timm: found by name, prepared as their configurations say."""

from __future__ import annotations

import importlib.util
import time

import pytest
import torch
from test_command import assert_refused, run

from atlas.asked import AtlasSpec
from atlas.errors import NetworkError, SpecError
from atlas.families import find_family, finder_of
from atlas.network.load import load_network
from atlas.network.source import weights_source

HAS_TIMM = importlib.util.find_spec("timm") is not None
needs_timm = pytest.mark.skipif(not HAS_TIMM, reason="timm is not installed: pip install timm")


def test_without_timm_the_way_on_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    result = run("--model", "timm:resnet18", "--cache", tmp_path / "cache")
    assert_refused(result, "timm:resnet18 needs timm, which is not installed; pip install timm")


@needs_timm
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("timm:vit_tiny_patch16_224", "is a transformer; the atlas draws convolutional networks"),
        ("timm:mixer_b16_224", "no convolutions but the one that cuts the image into patches"),
    ],
)
def test_what_is_no_convolutional_network_is_refused(name, words):
    with pytest.raises(NetworkError, match=words):
        find_family(name)


@needs_timm
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("timm:resnet81", "no network called 'timm:resnet81'; did you mean timm:resnet18"),
        ("timm:qqqq", "timm.list_models"),
        ("timm:resnet18.nobody", "no weights 'nobody' for resnet18; give a1_in1k or"),
    ],
)
def test_unknown_names_are_one_line(name, words):
    with pytest.raises(SpecError, match=words):
        find_family(name)


@needs_timm
def test_preprocessing_and_labels_are_those_of_the_configuration():
    import timm

    family = find_family("timm:resnet18.tv_in1k")
    config = timm.get_pretrained_cfg("resnet18.tv_in1k")
    preprocessing = family.weights["tv_in1k"].preprocessing()
    assert family.default_weights == "tv_in1k"
    assert (1, preprocessing.size_px, preprocessing.size_px)[1:] == config.input_size[1:]
    assert preprocessing.resize_px == int(preprocessing.size_px / config.crop_pct) == 256
    assert (preprocessing.mean, preprocessing.std) == (config.mean, config.std)
    assert preprocessing.interpolation == config.interpolation
    labels = family.labels()
    assert (labels.names[0], labels.wordnet_ids[0]) == ("tench, Tinca tinca", "n01440764")


@needs_timm
def test_each_tag_has_a_preprocessing_of_its_own():
    family = find_family("timm:efficientnet_b0")
    sizes = {published.preprocessing().interpolation for published in family.weights.values()}
    assert len(family.weights) > 1
    assert sizes <= {"bicubic", "bilinear"}
    assert find_family("timm:tf_efficientnet_lite0").weights["in1k"].preprocessing().mean == (
        0.5,
        0.5,
        0.5,
    )


@needs_timm
def test_a_file_is_loaded_and_no_facts_are_kept_for_names_that_may_change(tmp_path):
    import timm

    torch.manual_seed(0)
    model = timm.create_model("test_resnet", num_classes=5)
    torch.save(model.state_dict(), tmp_path / "mine.pth")
    family = find_family("timm:test_resnet")
    asked = AtlasSpec(family=family.name, weights=str(tmp_path / "mine.pth"))
    facts = load_network(asked, family).facts
    assert facts.classifier.n_units == 5
    assert facts.preprocessing_source == "assumed to be that of test_resnet r160_in1k"
    assert facts.identity != facts.sha256
    assert weights_source(asked, finder_of(family.name)) is None


@needs_timm
def test_without_the_hub_the_way_on_is_said(monkeypatch):
    import timm

    def fail(*_args: object, **_options: object) -> None:
        raise OSError("unreachable\nmore")

    family = find_family("timm:test_resnet")
    monkeypatch.setattr(timm, "create_model", fail)
    with pytest.raises(
        NetworkError, match=r"r160_in1k: unreachable; give a local file with --weights FILE$"
    ):
        load_network(AtlasSpec(family=family.name), family)


def test_a_hub_that_cannot_be_reached_is_asked_once_and_not_for_long(monkeypatch):
    from huggingface_hub import constants

    from atlas.families import timm

    monkeypatch.setattr(constants, "ENDPOINT", "https://hub.invalid")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(timm, "getproxies", dict)
    family = find_family("timm:resnet18")
    begun = time.perf_counter()
    with pytest.raises(
        NetworkError,
        match=r"resnet18\.\w+: they are not in its cache, and hub\.invalid cannot be reached; give",
    ):
        load_network(AtlasSpec(family=family.name), family)
    assert time.perf_counter() - begun < 3 * timm.PATIENCE_S


def test_a_network_of_timm_without_its_prefix_is_told():
    for name in ("timm/resnet18d", "hf-hub:timm/resnet18d.ra2_in1k"):
        with pytest.raises(SpecError, match=f"use --model timm:{name.partition('/')[2]}$"):
            find_family(name)
    with pytest.raises(SpecError, match=r"but timm does; use --model timm:tf_efficientnet_b0$"):
        find_family("tf_efficientnet_b0")
