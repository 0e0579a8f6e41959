"""Weights files are read without running them, and every bad one is explained in one line."""

from __future__ import annotations

import os
import pickle
import urllib.error
import warnings
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor
from torchvision.models import resnet18, resnet50

from atlas.asked import AtlasSpec, Preparation
from atlas.errors import NetworkError
from atlas.families import find_family
from atlas.network.load import load_network
from atlas.network.network import Network
from atlas.network.source import weights_source
from atlas.network.weights import download, open_weights
from atlas.pipeline import Atlas
from atlas.places import Places
from atlas.progress import SILENT

SMALL = {
    "conv1.weight": torch.linspace(-1, 1, 108).view(4, 3, 3, 3),
    "fc.bias": torch.tensor([0.5, -0.25]),
    "bn1.num_batches_tracked": torch.tensor(7),
}


class Payload:
    """Code that runs when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch '{self.target}'",)


@pytest.fixture(scope="module")
def ten_classes() -> dict[str, Tensor]:
    """A ResNet-50 with 10 classes and small seeded weights."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return resnet50(num_classes=10).state_dict()


def load(weights: str = "", family: str = "") -> Network:
    return load_network(AtlasSpec(family=family, weights=weights), find_family(family))


def source(weights: str = "", family: str = "") -> str:
    return weights_source(AtlasSpec(family=family, weights=weights), find_family(family))


def read_state_dict(path: Path) -> dict[str, Tensor]:
    with open_weights(path) as weights:
        return {key: weights.read(key) for key in weights.tensors}


def saved(path: Path, content: object, **options: object) -> Path:
    torch.save(content, path, **options)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(NetworkError) as refused, warnings.catch_warnings():
        warnings.simplefilter("error")
        read_state_dict(path)
    message = str(refused.value)
    assert "\n" not in message
    assert path.name in message
    return message


def assert_equal(state: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert list(state) == list(expected)
    assert all(torch.equal(state[key], value) for key, value in expected.items())


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before 1.6"])
def test_pth_and_safetensors_give_equal_tensors(tmp_path, zipped):
    pth = saved(tmp_path / "a.pth", SMALL, _use_new_zipfile_serialization=zipped)
    safe = tmp_path / "a.safetensors"
    safetensors.torch.save_file(SMALL, safe)
    assert_equal(read_state_dict(pth), SMALL)
    in_order = read_state_dict(safe)
    assert_equal({key: in_order[key] for key in SMALL}, SMALL)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_floats_of_any_size_are_read_as_they_are_stored(tmp_path, dtype):
    cast = {key: value.to(dtype) if value.ndim else value for key, value in SMALL.items()}
    state = read_state_dict(saved(tmp_path / "a.pth", cast))
    assert_equal(state, cast)
    assert {key: value.dtype for key, value in state.items()} == {
        key: value.dtype for key, value in cast.items()
    }


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before 1.6"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.999])
def test_a_truncated_pth_is_refused(tmp_path, zipped, share):
    path = saved(tmp_path / "a.pth", SMALL, _use_new_zipfile_serialization=zipped)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert "damaged" in refusal(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.999])
def test_a_truncated_safetensors_is_refused(tmp_path, share):
    path = tmp_path / "a.safetensors"
    safetensors.torch.save_file(SMALL, path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert "truncated or damaged" in refusal(path)


def test_a_missing_file_and_a_folder_are_not_called_damaged(tmp_path):
    assert "No such file" in refusal(tmp_path / "a.pth")
    (tmp_path / "folder.pth").mkdir()
    assert "is a folder" in refusal(tmp_path / "folder.pth")


@pytest.mark.parametrize("protocol", range(2, 5))
def test_code_in_a_plain_pickle_is_not_run(tmp_path, protocol):
    target = tmp_path / "ran"
    path = tmp_path / "a.pth"
    path.write_bytes(pickle.dumps({**SMALL, "more": Payload(target)}, protocol))
    refusal(path)
    assert not target.exists()


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before 1.6"])
def test_code_in_a_checkpoint_is_not_run(tmp_path, zipped):
    target = tmp_path / "ran"
    content = {"state_dict": SMALL, "more": Payload(target)}
    path = saved(tmp_path / "a.pth", content, _use_new_zipfile_serialization=zipped)
    assert_equal(read_state_dict(path), {f"state_dict.{key}": t for key, t in SMALL.items()})
    assert not target.exists()


@pytest.mark.parametrize("content", [{}, [1, 2], {"lr": 0.1}, {"state_dict": {}}, torch.zeros(3)])
def test_a_file_without_named_tensors_is_refused(tmp_path, content):
    assert "no tensors" in refusal(saved(tmp_path / "a.pth", content))


def test_the_class_count_comes_from_the_file(tmp_path, ten_classes):
    halved = {
        key: value.half() if value.is_floating_point() else value
        for key, value in ten_classes.items()
    }
    path = saved(tmp_path / "mine.pth", {"state_dict": halved})
    network = load(str(path))
    assert network.facts.n_units == 26_570
    assert network.facts.labels == tuple(f"class {index}" for index in range(10))
    assert network.facts.label_ids == ()
    assert network.facts.weights == "mine.pth"
    weight = network.weight(network.facts.layer("fc"))
    assert torch.equal(weight[:, :, 0, 0], halved["fc.weight"].float())
    assert not network.model.training


@pytest.mark.parametrize("n_channels", [1, 4])
def test_image_channels_come_from_the_first_convolution_of_the_file(tmp_path, n_channels):
    state = {
        **resnet18(num_classes=7).state_dict(),
        "conv1.weight": torch.ones(64, n_channels, 7, 7),
    }
    facts = load(str(saved(tmp_path / "a.pth", state)), "resnet18").facts
    assert (facts.layers[0].in_channels, facts.n_units) == (n_channels, 4807)
    assert facts.preprocessing.mean == facts.preprocessing.std == (0.5,) * n_channels
    assert facts.preprocessing_source.endswith(", but for a mean and standard deviation of 0.5")
    (remark,) = facts.remarks
    channels = {1: "1 channel", 4: "4 channels"}[n_channels]
    assert remark.startswith(f"a.pth: it takes images of {channels}; ")
    given = Preparation(mean=(0.4,) * n_channels, std=(0.2,) * n_channels)
    asked = AtlasSpec(family="resnet18", weights=str(tmp_path / "a.pth"), preparation=given)
    assert load_network(asked, find_family("resnet18")).facts.preprocessing.mean == given.mean


def test_a_first_convolution_of_another_kernel_is_refused(tmp_path, ten_classes):
    message = load_refusal(tmp_path, {**ten_classes, "conv1.weight": torch.ones(64, 3, 3, 3)})
    assert "of another shape: conv1.weight 64 × 3 × 3 × 3 for 64 × 3 × 7 × 7; a variant" in message


def load_refusal(tmp_path: Path, state: dict[str, Tensor]) -> str:
    path = saved(tmp_path / "a.pth", state)
    with pytest.raises(NetworkError, match="does not fit ResNet-50") as refused:
        load(str(path))
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_another_architecture_is_told_by_the_first_keys_that_do_not_fit(tmp_path):
    message = load_refusal(tmp_path, resnet18().state_dict())
    assert "missing: layer1.0.conv3.weight, layer1.0.bn3.weight, layer1.0.bn3.bias and " in message
    assert "of another shape: layer1.0.conv1.weight 64 × 64 × 3 × 3 for 64 × 64 × 1 × 1" in message
    assert message.endswith("it fits torchvision's resnet18: use --model resnet18")


def test_a_network_without_its_classifier_has_no_classes_and_that_is_said(
    tmp_path, ten_classes, capsys
):
    headless = {key: value for key, value in ten_classes.items() if not key.startswith("fc.")}
    facts = load(str(saved(tmp_path / "a.pth", headless))).facts
    assert (facts.n_units, facts.labels, facts.classifier) == (26_560, (), None)
    assert facts.remarks == ("a.pth has no classifier that fits: an atlas without classes",)
    for _ in range(2):  # a second run takes the facts from the cache, and says the same
        with Atlas(
            AtlasSpec(weights=str(tmp_path / "a.pth")),
            Places(tmp_path, tmp_path / "cache"),
            progress=SILENT,
        ):
            assert capsys.readouterr().err == f"{facts.remarks[0]}\n"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path, ten_classes, value):
    broken = dict(ten_classes)
    broken["layer3.1.conv2.weight"] = broken["layer3.1.conv2.weight"].clone()
    broken["layer3.1.conv2.weight"][3, 2, 1, 0] = value
    assert "not finite: layer3.1.conv2.weight;" in load_refusal(tmp_path, broken)


@pytest.mark.parametrize("tell", [load, source])
def test_an_unknown_name_lists_the_known_ones(tell):
    with pytest.raises(NetworkError, match=r"IMAGENET1K_V1 or IMAGENET1K_V2.*existing file"):
        tell("IMAGENET1K_V3")
    with pytest.raises(NetworkError, match=r"no weights called 'mine'; give demo, or an existing"):
        tell("mine", "demo")


@pytest.mark.parametrize("tell", [load, source])
@pytest.mark.parametrize("name", ["gone.pth", "gone/mine"])
def test_a_file_that_is_gone_is_called_so(tell, name):
    with pytest.raises(NetworkError, match=rf"cannot read the weights {name}: No such file"):
        tell(name)


def test_a_file_for_a_bundled_network_is_taken_and_not_the_bundled_weights(tmp_path):
    network = load(family="demo")
    state = network.model.state_dict()
    state["fc.bias"] = state["fc.bias"] + 1
    mine = load(str(saved(tmp_path / "mine.pth", state)), "demo")
    assert mine.facts.weights == "mine.pth"
    assert mine.facts.sha256 != network.facts.sha256
    assert mine.facts.labels_source.startswith("assumed to be ")
    assert torch.equal(mine.model.fc.bias, network.model.fc.bias + 1)
    assert mine.facts.preprocessing == network.facts.preprocessing


# What identifies weights that are not loaded


def test_published_weights_are_identified_by_their_name():
    assert source() == source("IMAGENET1K_V1") == "resnet50 IMAGENET1K_V1"
    assert source("ResNet50_Weights.IMAGENET1K_V2") == "resnet50 IMAGENET1K_V2"


def test_a_file_is_identified_by_its_content_its_name_and_its_network(tmp_path):
    path = tmp_path / "mine.pth"
    path.write_bytes(b"abc")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2
    assert source(str(path)) == f"resnet50 mine.pth {digest}"
    assert source(str(path), "demo") == f"demo mine.pth {digest}"
    assert source(family="demo") == f"demo demo {load(family='demo').facts.sha256}"


def test_a_key_in_a_file_makes_other_weights_of_it(tmp_path, ten_classes):
    content = {"model": ten_classes, "model_ema": {k: t + 1 for k, t in ten_classes.items()}}
    path = str(saved(tmp_path / "mine.pth", content))
    asked = AtlasSpec(weights=path, state_key="model_ema")
    family = find_family("")
    ema, plain = load_network(asked, family), load(path)
    assert torch.equal(ema.model.fc.bias, plain.model.fc.bias + 1)
    assert ema.facts.weights == "mine.pth (model_ema)"
    assert ema.facts.sha256 != plain.facts.sha256
    assert weights_source(asked, family) != source(path)


@pytest.mark.parametrize("weights", ["", "IMAGENET1K_V2"])
def test_a_key_without_a_file_is_refused(weights):
    with pytest.raises(NetworkError, match="--state-key chooses in a file of yours; give it with"):
        weights_source(AtlasSpec(weights=weights, state_key="model"), find_family(""))


def test_what_lies_in_the_folder_does_not_hide_what_was_published(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()
    (tmp_path / "IMAGENET1K_V1").mkdir()
    assert source("demo", "demo").startswith("demo demo ")
    assert source() == source("IMAGENET1K_V1")
    (tmp_path / "IMAGENET1K_V2").write_bytes(b"abc")  # but a file that is named is meant
    assert source("IMAGENET1K_V2").startswith("resnet50 IMAGENET1K_V2 ba7816bf")


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """A machine whose downloads fail, and that has downloaded nothing before."""

    def fail(*_args: object, **_options: object) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)


@pytest.mark.usefixtures("no_network")
def test_weights_that_cannot_be_had_name_the_two_ways_on():
    with pytest.raises(NetworkError) as refused:
        load()
    message = str(refused.value)
    assert message.startswith("cannot download resnet50-0676ba61.pth (Name or service not known)")
    assert "--weights FILE" in message
    assert message.endswith("or try a bundled network with --demo")
    with pytest.raises(NetworkError) as refused:
        load_network(AtlasSpec(), find_family(""), [find_family("")])
    assert str(refused.value).endswith("give a local file with --weights FILE")


def test_what_was_downloaded_before_is_used(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    there = tmp_path / "hub" / "checkpoints" / "resnet50-0676ba61.pth"
    there.parent.mkdir(parents=True)
    there.write_bytes(b"here")
    assert download("https://download.pytorch.org/models/resnet50-0676ba61.pth", "") == there
