"""A family of networks says everything about itself, in one place, and a new one needs no other."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
import safetensors.torch
import torch
from conftest import HiddenLinear, randomise, seen_as
from torch import nn

from atlas.asked import AtlasSpec
from atlas.errors import NetworkError, SpecError
from atlas.families import FAMILIES, find_family
from atlas.families.family import Family, LayerPlace, PublishedWeights
from atlas.labels import ClassLabels
from atlas.network.load import load_network
from atlas.network.source import weights_source

ROOT = Path(__file__).parents[1]
# Where no network is to be named: folders, and files by themselves.
SOURCES = ("atlas", "templates", "static", "build.py")
RESNET, DEMO = FAMILIES


def test_an_empty_name_stands_for_the_first_family_and_an_unknown_one_lists_them():
    assert find_family("") is FAMILIES[0]
    assert [find_family(family.name) for family in FAMILIES] == list(FAMILIES)
    with pytest.raises(SpecError, match=r"^no network called 'vgg16'; give resnet50 or demo$"):
        find_family("vgg16")


def test_importing_the_families_imports_nothing_heavy():
    heavy = {"torch", "torchvision", "PIL", "cv2", "numpy"}
    code = (
        "import sys, atlas.families, atlas.network.source;"
        f"print(sorted({heavy} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
    assert done.stdout.decode().strip() == "[]"


# Nobody else knows their names


def texts(sources: tuple[str, ...]) -> Iterator[Path]:
    for source in sources:
        paths = [ROOT / source] if (ROOT / source).is_file() else (ROOT / source).rglob("*")
        yield from (path for path in paths if path.suffix in {".py", ".html", ".css", ".js"})


def own_places(family: Family) -> set[Path]:
    folder = ROOT / "atlas" / "families"
    return {folder / f"{family.name}.py", folder / family.name}


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_no_family_is_named_outside_its_own_file(family):
    (word,) = re.findall(r"^[a-z]+", family.name)  # "resnet" of "resnet50"
    listed = ROOT / "atlas" / "families" / "__init__.py"
    paths = list(texts(SOURCES))
    assert len(paths) > 150
    for path in paths:
        if own_places(family) & {path, *path.parents}:
            continue
        lines = path.read_text(encoding="utf-8").lower().splitlines()
        naming = [line for line in lines if word in line]
        if path == listed:  # by one import and by the tuple
            assert len(naming) == 2
            assert naming[0].startswith("from atlas.families import")
            assert naming[1].startswith("families = ")
        else:
            assert naming == [], path


# What they say


def test_imagenets_classes_have_labels_and_wordnet_ids():
    labels = RESNET.labels()
    assert len(labels.names) == len(set(labels.wordnet_ids)) == 1000
    assert list(labels.wordnet_ids) == sorted(labels.wordnet_ids)
    known = dict(zip(labels.wordnet_ids, labels.names, strict=True))
    assert known["n01440764"] == "tench"
    assert known["n02099601"] == "golden retriever"
    assert known["n02123045"] == "tabby"
    assert known["n02391049"] == "zebra"
    assert known["n15075141"] == "toilet tissue"


def test_preprocessing_is_what_torchvision_says():
    first, second = (RESNET.weights[name].preprocessing() for name in RESNET.weights)
    assert (first.size_px, first.resize_px, first.interpolation) == (224, 256, "bilinear")
    assert (second.size_px, second.resize_px, second.interpolation) == (224, 232, "bilinear")
    assert first.mean == (0.485, 0.456, 0.406)
    assert first.std == (0.229, 0.224, 0.225)


def test_a_share_of_seven_eighths_is_kept_where_no_whole_number_gives_it():
    preprocessing = DEMO.weights["demo"].preprocessing()
    assert preprocessing.size_px / preprocessing.resize_px == 7 / 8


def test_published_weights_lie_beside_the_family_or_at_torchvisions():
    assert not RESNET.is_bundled
    urls = [RESNET.weights[name].url() for name in RESNET.weights]
    assert [url.rpartition("/")[2] for url in urls] == [
        "resnet50-0676ba61.pth",
        "resnet50-11ad3fa6.pth",
    ]
    assert DEMO.is_bundled
    assert DEMO.weights[DEMO.default_weights].file.is_file()


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_what_a_family_says_fits_together(family):
    assert family.default_weights in family.weights
    labels = family.labels()
    model = family.build(7)
    assert model.get_submodule(family.classifier).out_features == 7
    assert len(labels.wordnet_ids) in (0, len(labels.names))
    assert all(published.file or published.url for published in family.weights.values())
    assert all(arguments and about for arguments, about in family.examples)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_words_for_residual_blocks_are_in_the_glossary(family):
    terms: dict[str, str] = {}

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag == "dt":
                terms[dict(attrs)["id"]] = ""

        def handle_data(self, data):
            terms[list(terms)[-1]] += data

    Reader().feed(family.glossary.read_text(encoding="utf-8"))
    assert list(terms) == ["bottleneck", "downsample"]
    assert terms["bottleneck"].startswith("BottleneckA residual block that first reduces")


# A family from outside


@pytest.fixture
def toy(tmp_path) -> Family:
    """A family with a hidden linear layer, its weights beside it, and places of its own."""

    def build(n_classes: int) -> nn.Module:
        model = HiddenLinear(24)
        model.fc = nn.Linear(6, n_classes)
        return randomise(model)

    file = tmp_path / "toy.safetensors"
    safetensors.torch.save_file(build(3).state_dict(), file)
    return Family(
        name="toy",
        title="Toy",
        about="A network for tests.",
        build=build,
        classifier="fc",
        weights={"small": PublishedWeights(lambda: seen_as(24), file=file)},
        default_weights="small",
        labels=lambda: ClassLabels(("red", "green", "blue"), "made up", ("n1", "n2", "n3")),
        place=lambda name, is_conv: LayerPlace("body" if is_conv else "head", None),
        flag="--toy",
    )


def test_a_family_from_outside_is_loaded_like_any_other(toy):
    asked = AtlasSpec(family="toy")
    assert find_family("toy", (*FAMILIES, toy)) is toy
    network = load_network(asked, toy, (*FAMILIES, toy))
    facts = network.facts
    assert (facts.name, facts.family, facts.weights) == ("Toy", "toy", "small")
    assert (facts.labels, facts.labels_source) == (("red", "green", "blue"), "made up")
    assert facts.label_ids == ("n1", "n2", "n3")
    assert facts.preprocessing == seen_as(24)
    assert [(layer.name, layer.kind, layer.stage) for layer in facts.layers] == [
        ("conv", "conv", "body"),
        ("hidden", "hidden", "head"),
        ("fc", "classifier", "head"),
    ]
    assert facts.classifier == facts.layers[-1]
    assert weights_source(asked, toy) == f"toy small {facts.sha256}"
    images = torch.rand(2, 3, 24, 24)
    logits = network.tap(facts.layers[-1])(images)[..., 0, 0]
    torch.testing.assert_close(logits, network.model(images))


def test_a_failed_download_points_to_every_bundled_network(toy, monkeypatch, tmp_path):
    def fail(*_args: object, **_options: object) -> None:
        raise OSError("unreachable")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    with pytest.raises(NetworkError, match=r"bundled network with --demo or --toy$"):
        load_network(AtlasSpec(), RESNET, (*FAMILIES, toy))
