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
from torch import Tensor, nn
from torchvision.models import resnet18, resnet50

from atlas.errors import NetworkError
from atlas.network import load_network
from atlas.spec import AtlasSpec
from atlas.weights import download, read_state_dict

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
def test_any_float_is_read_as_float32_and_counts_stay_whole(tmp_path, dtype):
    cast = {key: value.to(dtype) if value.ndim else value for key, value in SMALL.items()}
    state = read_state_dict(saved(tmp_path / "a.pth", cast))
    assert_equal(state, {key: value.to(SMALL[key].dtype) for key, value in cast.items()})
    assert state["fc.bias"].dtype == torch.float32
    assert state["bn1.num_batches_tracked"].dtype == torch.int64


def prefixed(prefix: str) -> dict[str, Tensor]:
    return {prefix + key: value for key, value in SMALL.items()}


@pytest.mark.parametrize(
    "content",
    [
        {"state_dict": SMALL, "epoch": 90, "arch": "resnet50"},
        {"model": SMALL, "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}},
        {"model": {"state_dict": SMALL}},
        prefixed("module."),
        prefixed("_orig_mod."),
        {"state_dict": prefixed("module.")},
        {"state_dict": prefixed("model."), "pytorch-lightning_version": "2"},
    ],
    ids=["state_dict", "model", "both", "module.", "compiled", "wrapped module.", "lightning"],
)
def test_wrappers_and_prefixes_are_taken_off(tmp_path, content):
    assert_equal(read_state_dict(saved(tmp_path / "a.pth", content)), SMALL)


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


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"these are no weights\n" * 50, b"<!DOCTYPE html>\n<p>404", bytes(5000)],
    ids=["empty", "blank", "text", "a web page", "zeros"],
)
def test_a_file_of_something_else_is_refused(tmp_path, content):
    path = tmp_path / "a.pth"
    path.write_bytes(content)
    assert "is no weights file; give a .pth or .safetensors" in refusal(path)


def test_a_missing_file_and_a_folder_are_not_called_damaged(tmp_path):
    assert "No such file" in refusal(tmp_path / "a.pth")
    (tmp_path / "folder.pth").mkdir()
    assert "Is a directory" in refusal(tmp_path / "folder.pth")


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
    assert "never executed" in refusal(path)
    assert not target.exists()


def test_a_whole_pickled_module_is_refused_with_the_way_out(tmp_path):
    path = saved(tmp_path / "a.pth", nn.Sequential(nn.Conv2d(3, 4, 3)))
    assert "torch.save(model.state_dict(), FILE)" in refusal(path)


@pytest.mark.parametrize("content", [{}, [1, 2], {"lr": 0.1}, {"state_dict": {}}, torch.zeros(3)])
def test_a_file_without_named_tensors_is_refused(tmp_path, content):
    assert "no tensors" in refusal(saved(tmp_path / "a.pth", content))


def test_the_class_count_comes_from_the_file(tmp_path, ten_classes):
    halved = {
        key: value.half() if value.is_floating_point() else value
        for key, value in ten_classes.items()
    }
    path = saved(tmp_path / "mine.pth", {"state_dict": halved})
    network = load_network(AtlasSpec(weights=str(path)))
    assert network.facts.n_units == 26_570
    assert network.facts.labels == tuple(f"class {index}" for index in range(10))
    assert network.facts.weights == "mine.pth"
    weight = network.weight(network.facts.layer("fc"))
    assert torch.equal(weight[:, :, 0, 0], halved["fc.weight"].float())
    assert not network.model.training


def load_refusal(tmp_path: Path, state: dict[str, Tensor]) -> str:
    path = saved(tmp_path / "a.pth", state)
    with pytest.raises(NetworkError, match="does not fit ResNet-50") as refused:
        load_network(AtlasSpec(weights=str(path)))
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_another_architecture_is_told_by_the_first_keys_that_do_not_fit(tmp_path):
    message = load_refusal(tmp_path, resnet18().state_dict())
    assert "missing: layer1.0.conv3.weight, layer1.0.bn3.weight, layer1.0.bn3.bias and " in message
    assert "of another shape: layer1.0.conv1.weight, layer1.1.conv1.weight, " in message


def test_a_network_without_its_classifier_is_refused(tmp_path, ten_classes):
    headless = {key: value for key, value in ten_classes.items() if not key.startswith("fc.")}
    assert "missing: fc.weight, fc.bias;" in load_refusal(tmp_path, headless)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path, ten_classes, value):
    broken = dict(ten_classes)
    broken["layer3.1.conv2.weight"] = broken["layer3.1.conv2.weight"].clone()
    broken["layer3.1.conv2.weight"][3, 2, 1, 0] = value
    assert "not finite: layer3.1.conv2.weight;" in load_refusal(tmp_path, broken)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(NetworkError, match=r"IMAGENET1K_V1 or IMAGENET1K_V2.*existing file"):
        load_network(AtlasSpec(weights="IMAGENET1K_V3"))


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
        load_network(AtlasSpec())
    message = str(refused.value)
    assert message.startswith("cannot download resnet50-0676ba61.pth (Name or service not known)")
    assert "--weights FILE" in message
    assert "--demo" in message


def test_what_was_downloaded_before_is_used(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    there = tmp_path / "hub" / "checkpoints" / "resnet50-0676ba61.pth"
    there.parent.mkdir(parents=True)
    there.write_bytes(b"here")
    assert download("https://download.pytorch.org/models/resnet50-0676ba61.pth") == there
