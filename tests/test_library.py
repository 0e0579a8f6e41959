"""The library: what a notebook asks for, and what it gets."""

from __future__ import annotations

import ast
import base64
import doctest
import io
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from own_kinds import SWATCH, level_of
from PIL import Image
from torch import nn

import atlas
from atlas import library
from atlas import renderer as renderer_module
from atlas.asked import AtlasSpec, Selection
from atlas.cache import Cache
from atlas.catalogue import Catalogue
from atlas.engine import Engine
from atlas.errors import NetworkError, SpecError
from atlas.library import Pictures, RenderedPicture, open_network, render
from atlas.network.network import Network
from atlas.pictures.encode import encode
from atlas.pipeline import Atlas
from atlas.places import Places
from atlas.plan import make_plan
from atlas.records import to_json
from atlas.units import Unit

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs" / "library.md"


@pytest.fixture(scope="module")
def demo() -> Network:
    return open_network("demo", device="cpu")


@pytest.fixture(autouse=True)
def float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is fastest is timed, so it could differ between two renderers."""
    monkeypatch.setattr(renderer_module, "fastest_precision", lambda device: "float32")


def picture_of(pixels: np.ndarray, title: str = "conv1:0") -> RenderedPicture:
    return RenderedPicture(Unit("conv1", 0), "excitatory", title, pixels, None)


class Figures(HTMLParser):
    """The images and the words of a piece of HTML."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.images: list[dict[str, str]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "img":
            self.images.append(dict(attrs))

    def handle_data(self, data):
        self.words.append(data)


# Open


def test_a_network_lists_its_layers_and_units(demo):
    assert [layer.index for layer in demo.layers] == list(range(len(demo.layers)))
    assert demo.layers[0].units[3] == Unit("conv1", 3)
    assert sum(len(layer.units) for layer in demo.layers) == demo.facts.n_units


def test_labels_of_a_file_are_the_networks(demo, tmp_path):
    names = [f"thing {index}" for index in range(len(demo.facts.labels))]
    (tmp_path / "names.txt").write_text("\n".join(names))
    network = open_network("demo", labels=tmp_path / "names.txt", device="cpu")
    assert network.facts.labels == tuple(names)
    assert render(network, "thing 2", "filter")[0].title == "thing 2 (fc:2)"


def test_an_unknown_network_is_refused():
    with pytest.raises(SpecError, match="no network called 'vgg99'"):
        open_network("vgg99")


class Grey(nn.Module):
    """A network for images of one channel, with three classes."""

    def __init__(self, n_channels: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(n_channels, 4, 3)
        self.fc = nn.Linear(4, 3)

    def forward(self, images):
        return self.fc(self.conv(images).relu().mean((2, 3)))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (5, "the model is an int; give a torch.nn.Module"),
        (Grey, "the model is the class Grey, not yet called; give"),
        ({"conv.weight": torch.zeros(3)}, "the model is a dict; give it as weights"),
    ],
)
def test_what_is_no_module_is_called_what_it_is(model, words):
    with pytest.raises(SpecError, match=words):
        open_network(model)


@pytest.mark.parametrize("labels", [["a", "b", "c"], ("a", "b", "c"), {2: "c", 0: "a", 1: "b"}])
def test_labels_may_be_a_list_or_a_dict(labels):
    facts = open_network(Grey(), labels=labels, input_size_px=20, device="cpu").facts
    assert (facts.labels, facts.labels_source) == (("a", "b", "c"), "given as a list")


def test_labels_of_another_number_are_refused():
    with pytest.raises(SpecError, match="the list has 2 labels, the weights have 3 classes"):
        open_network(Grey(), labels=["a", "b"], input_size_px=20, device="cpu")


@pytest.mark.parametrize("n_channels", [1, 3, 4])
def test_one_number_is_for_all_channels(n_channels):
    network = open_network(Grey(n_channels), input_size_px=20, mean=0.25, std=1, device="cpu")
    seen = network.facts.preprocessing
    assert (seen.mean, seen.std) == ((0.25,) * n_channels, (1.0,) * n_channels)


def test_numbers_may_be_in_an_array_and_are_plain_numbers_then():
    mean, std = np.array([0.5, 0.25, 0.5]), torch.tensor([0.5, 0.5, 0.5])
    network = open_network(Grey(3), input_size_px=np.int64(20), mean=mean, std=std, device="cpu")
    assert network.facts.preprocessing.mean == (0.5, 0.25, 0.5)
    assert {type(each) for each in network.facts.preprocessing.std} == {float}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mean": "0.5"}, "mean is '0.5'; give a number, or one for each image channel"),
        ({"std": ["x"]}, "std is .*; give a number"),
        ({"input_size_px": "20"}, "an input size of '20'; give a whole number"),
        ({"weights": 5}, "weights are a int; give a name, a file, or a state dict"),
    ],
)
def test_arguments_of_another_kind_are_refused(options, words):
    with pytest.raises(SpecError, match=words):
        open_network(Grey(), device="cpu", **options)


def test_a_state_dict_is_read_as_a_file_with_it_would_be(capsys):
    trained = Grey()
    state = {"state_dict": {f"module.{key}": each for key, each in trained.state_dict().items()}}
    network = open_network(Grey(), state, input_size_px=20, device="cpu")
    assert torch.equal(network.model.conv.weight, trained.conv.weight)
    assert network.facts.weights == "a state dict in memory"
    assert "the state dict: the weights are those of state_dict.module" in capsys.readouterr().err
    headless = {"conv.weight": trained.conv.weight, "conv.bias": trained.conv.bias.half()}
    assert open_network(Grey(), headless, input_size_px=20, device="cpu").facts.classifier is None
    with pytest.raises(NetworkError, match=r"the state dict does not fit Grey: missing: conv"):
        open_network(Grey(), {"conv.weight": trained.conv.weight}, input_size_px=20, device="cpu")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_module_of_any_precision_is_read_in_float32_and_left_alone(dtype):
    model = Grey().to(dtype)
    network = open_network(model, input_size_px=20, device="cpu")
    assert {each.dtype for each in network.model.parameters()} == {torch.float32}
    assert {each.dtype for each in model.parameters()} == {dtype}
    assert model.training and model.conv.weight.requires_grad
    assert torch.equal(network.model.conv.weight, model.conv.weight.float())


# Render


@pytest.mark.parametrize("kind", ["excitatory", "filter", "inhibitory"])
def test_pictures_and_records_are_those_of_an_atlas(planted, cache: Cache, kind: str):
    selection = Selection(layers=("conv1",), units=(range(3),))
    asked = AtlasSpec(preset="preview", kinds=(kind,), selection=selection, seed=3)
    (job,) = make_plan(asked, planted.facts, ()).asked
    with Engine(planted, cache) as engine:
        engine.run([job], cache.put)
    rendered = render(planted, "conv1:0-2", kind, preset="preview", seed=3)
    entries = cache.entries(job.keys)
    assert [picture.unit for picture in rendered] == list(job.units)
    for picture, key in zip(rendered, job.keys, strict=True):
        quality = job.kind.encoding.quality_for(picture.pixels.shape[1])
        stored = encode(picture.pixels, quality)
        assert np.array_equal(decoded(stored), decoded(cache.read(key)))
        assert to_json(picture.record, job.layer.score_name) == entries[key].numbers_json


def decoded(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_a_renderer_without_a_cache_refuses_to_read_one(planted):
    with pytest.raises(SpecError, match="build an atlas"):
        renderer_module.Renderer(planted).entries(["key"])


def named(demo: Network, units) -> list[str]:
    return [picture.unit.id for picture in render(demo, units, "filter")]


@pytest.mark.parametrize(
    ("units", "ids"),
    [
        ("conv1:3", ["conv1:3"]),
        ("conv1:2-3,7", ["conv1:2", "conv1:3", "conv1:7"]),
        ("rings", ["fc:11"]),
        ("Rings", ["fc:11"]),
        ("11", ["fc:11"]),
        ("fc:11", ["fc:11"]),
        (Unit("layer1.0.conv2", 5), ["layer1.0.conv2:5"]),
        (["rings", "conv1:3", Unit("conv1", 1)], ["fc:11", "conv1:3", "conv1:1"]),
        (["conv1:3", Unit("conv1", 3), "conv1:2-3"], ["conv1:3", "conv1:2"]),
        ([], []),
    ],
)
def test_units_are_named_in_many_ways_and_keep_their_order(demo, units, ids):
    assert named(demo, units) == ids


def test_a_layer_or_several_stand_for_all_their_units(demo):
    conv1 = demo.layers[0]
    all_of_it = [unit.id for unit in conv1.units]
    assert named(demo, conv1) == named(demo, "conv1") == all_of_it
    layers = [layer for layer in demo.layers if layer.name.startswith("layer1.")]
    assert named(demo, "layer1") == [unit.id for layer in layers for unit in layer.units]


@pytest.mark.parametrize(
    ("units", "message"),
    [
        ("ring", "no layer, unit or class 'ring' in DemoNet; closest: rings"),
        ("conv9:1", "no layer, unit or class 'conv9:1' in DemoNet; closest: conv1"),
        ("conv1:99", "unit 99 is out of range for conv1"),
        ("conv1:x", "cannot read units 'x'"),
        (Unit("conv1", 99), "unit 99 is out of range for conv1"),
        (Unit("nowhere", 0), "no layer, unit or class 'nowhere:0'"),
    ],
)
def test_units_that_are_not_there_are_refused(demo, units, message):
    with pytest.raises(SpecError, match=message):
        render(demo, units, "filter")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "nope"}, "no kind 'nope'"),
        ({"kind": "natural"}, "made from photographs or other artifacts"),
        ({"kind": "examples"}, "made from photographs or other artifacts"),
        ({"kind": "similar"}, "made from photographs or other artifacts"),
        ({"kind": "noise"}, "gives numbers and no pictures"),
        ({"kind": "circuit"}, "gives numbers and no pictures"),
        ({"kind": "twin"}, "none of these units is in the sample"),
        ({"units": "fc", "kind": "field"}, "it needs layers whose receptive field"),
        ({"preset": "huge"}, "no preset 'huge'; there are preview, standard, fine"),
        ({"recipe": "none"}, "no recipe 'none'; there are fourier, progressive"),
    ],
)
def test_what_cannot_be_rendered_is_refused_in_one_line(demo, options, message):
    with pytest.raises(SpecError, match=message) as caught:
        render(demo, **{"units": "conv1:1", **options})
    assert "\n" not in str(caught.value)


def test_a_kind_for_whole_layers_gives_one_picture_per_layer(demo):
    pictures = render(demo, ["layer1.0.conv1:3", "conv1:0-1"], "dream", preset="preview")
    assert [picture.title for picture in pictures] == ["layer1.0.conv1", "conv1"]


def test_a_kind_from_outside_is_rendered(demo):
    catalogue = Catalogue(kinds=(SWATCH,))
    pictures = render(demo, "conv1:4-5", "swatch", catalogue=catalogue)
    for picture in pictures:
        assert picture.record.level == level_of(picture.unit)
        assert (picture.pixels == level_of(picture.unit)).all()


# Show


def test_png_keeps_every_pixel(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    picture = picture_of(pixels)
    picture.save(tmp_path / "unit.png")
    for data in (picture._repr_png_(), (tmp_path / "unit.png").read_bytes()):
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), pixels)
    (image,) = Figures(Pictures((picture,))._repr_html_()).images
    data = base64.b64decode(image["src"].removeprefix("data:image/png;base64,"))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), pixels)


@pytest.mark.parametrize("name", ["unit.nope", "unit"])
def test_an_ending_of_no_format_is_refused(tmp_path, name):
    with pytest.raises(SpecError, match="give a name like"):
        picture_of(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / name)


def test_html_shows_names_as_they_are():
    title = "<script>\"a\" & 'b'</script>"
    shown = Figures(Pictures((picture_of(np.zeros((9, 9, 3), np.uint8), title),))._repr_html_())
    assert "script" not in shown.tags
    assert shown.images[0]["alt"] == f"Picture of {title}, excitatory"
    assert title in "".join(shown.words)


def test_small_pictures_are_enlarged_by_whole_factors_with_their_pixels_apart():
    sizes = [(17, 17), (47, 10), (60, 120), (512, 512)]
    shown = Figures(
        Pictures(tuple(picture_of(np.zeros((*size, 3), np.uint8)) for size in sizes))._repr_html_()
    )
    found = [(int(image["height"]), int(image["width"])) for image in shown.images]
    assert found == [(119, 119), (94, 20), (64, 128), (128, 128)]
    assert ["pixelated" in image.get("style", "") for image in shown.images] == [True] * 2 + [
        False
    ] * 2


def test_a_long_row_says_how_many_are_not_shown():
    one = picture_of(np.zeros((4, 4, 3), np.uint8))
    row = Pictures((one,) * (library.N_SHOWN + 3))
    shown = Figures(row._repr_html_())
    assert len(shown.images) == library.N_SHOWN
    assert shown.words[-1] == "3 more are not shown."
    assert len(repr(row)) < 1000


def test_pictures_are_a_sequence(demo):
    pictures = render(demo, "conv1:0-3", "filter")
    assert len(pictures) == 4
    assert pictures[-1].unit == Unit("conv1", 3)
    assert pictures[1:3] == Pictures((pictures[1], pictures[2]))
    assert pictures[0] in pictures


# Build


def test_an_atlas_is_built_at_once_and_then_found_done(tmp_path):
    selection = Selection(layers=("conv1",), units=(range(2),))
    asked = AtlasSpec(family="demo", preset="preview", kinds=("filter",), selection=selection)
    with Atlas(asked, Places(tmp_path / "site", tmp_path / "cache", device="cpu")) as built:
        first, second = built.build(), built.build()
    assert (first.n_made, first.n_there) == (2, 0)
    assert (second.n_made, second.n_there, second.stages) == (0, 2, ())
    assert second.site.n_written == 0
    assert (tmp_path / "site" / "conv1" / "0001.html").is_file()


# The package


def test_the_page_for_notebooks_is_right(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = doctest.testfile(str(DOCS), module_relative=False, encoding="utf-8")
    assert result.attempted > 10
    assert result.failed == 0


def test_all_names_are_there():
    assert set(atlas.__all__) <= set(dir(atlas))
    for name in atlas.__all__:
        assert getattr(atlas, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        atlas.nope  # noqa: B018


def test_type_checkers_find_each_name_where_it_is_loaded_from():
    tree = ast.parse((ROOT / "atlas" / "__init__.py").read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    seen = {name.name: node.module for node in imports for name in node.names}
    del seen["annotations"], seen["TYPE_CHECKING"]
    assert seen == atlas._MODULES
    assert sorted(seen) == sorted(atlas.__all__)


@pytest.mark.parametrize("use", ["atlas.__version__", "atlas.KINDS, atlas.FAMILIES, atlas.Atlas"])
def test_the_package_is_imported_without_torch(use):
    code = f"import sys, atlas; {use}; assert not {{'torch', 'torchvision'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
