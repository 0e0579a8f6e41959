"""Networks of the user's own: what a file or a module may be, and what is said if it is not."""

from __future__ import annotations

import json
import operator
import re
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from own_family import Toy
from safetensors.torch import save_file
from site_reader import broken_links
from test_command import run
from torch import nn

from atlas.asked import AtlasSpec, Preparation
from atlas.errors import NetworkError, SpecError
from atlas.families import find_family
from atlas.families.custom import family_in_memory
from atlas.families.torchvision import assumed_labels
from atlas.network.load import load_network
from atlas.network.network import Network

NET = """
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self, num_classes=4):
            super().__init__()
            self.conv = nn.Conv2d(1, 6, 3)
            self.fc = nn.Linear(6, num_classes)

        def forward(self, images):
            return self.fc(self.conv(images).relu().mean((2, 3)))

    def make():
        print("hello")
        return Net()

    def fixed():
        net = Net()
        for parameter in net.parameters():
            nn.init.constant_(parameter, 0.5)
        return net
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a file of networks, in which the command runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    write("net.py", NET)
    return tmp_path


def write(name: str, code: str) -> None:
    Path(name).write_text(textwrap.dedent(code), encoding="utf-8")


def load(name: str, **asked: object) -> Network:
    return load_network(AtlasSpec(family=name, **asked), find_family(name))


# What may be given


def test_a_function_of_a_file_gives_the_network(folder, capsys):
    facts = load("net.py:make").facts
    assert (facts.name, facts.family) == ("Net", "net.py:make")
    assert [(layer.name, layer.n_units) for layer in facts.layers] == [("conv", 6), ("fc", 4)]
    assert facts.labels == tuple(f"class {index}" for index in range(4))
    out, err = capsys.readouterr()
    assert out == ""  # stdout is for results
    assert "hello" in err
    assert err.count("Running net.py, which may do whatever you may do") == 1


def test_a_class_will_do_and_so_will_a_module_of_the_working_directory(folder):
    by_file, by_module = load("net.py:Net").facts, load("net:Net").facts
    assert by_file.layers == by_module.layers
    assert by_file.sha256 == by_module.sha256
    assert by_file.identity == by_module.identity


def test_files_beside_it_can_be_imported_and_the_path_is_left_as_it_was(folder):
    (folder / "deep").mkdir()
    write("deep/parts.py", "WIDTH = 5")
    write(
        "deep/outer.py",
        """
        import parts
        from torch import nn
        def make():
            import parts as again
            return nn.Sequential(nn.Conv2d(3, again.WIDTH, 3))
        """,
    )
    before = list(sys.path)
    assert load("deep/outer.py:make").facts.layers[0].n_units == 5
    assert sys.path == before


def test_weights_say_how_many_classes_there_are(folder):
    """The function is told their number."""
    model = nn.ModuleDict({"conv": nn.Conv2d(1, 6, 3), "fc": nn.Linear(6, 9)})
    save_file(model.state_dict(), "mine.safetensors")
    network = load("net.py:Net", weights="mine.safetensors")
    assert network.facts.classifier.n_units == 9
    assert network.facts.weights == "mine.safetensors"
    assert torch.equal(network.model.fc.weight, model["fc"].weight)


@pytest.mark.parametrize("normalised", ["utils.weight_norm", "utils.parametrizations.weight_norm"])
def test_a_classifier_whose_weight_is_in_parts_gives_the_classes(folder, normalised):
    head = f"nn.{normalised}(nn.Linear(6, num_classes))"
    write("normed.py", NET.replace("nn.Linear(6, num_classes)", head))
    norm = operator.attrgetter(normalised)(nn)
    trained = nn.ModuleDict({"conv": nn.Conv2d(1, 6, 3), "fc": norm(nn.Linear(6, 9))})
    trained.load_state_dict({key: torch.rand_like(t) for key, t in trained.state_dict().items()})
    torch.save(trained.state_dict(), "mine.pth")
    network = load("normed.py:Net", weights="mine.pth")
    assert network.facts.classifier.n_units == 9
    features = torch.rand(2, 6)
    torch.testing.assert_close(network.model.fc(features), trained["fc"](features))


def test_a_function_that_cannot_be_told_the_number_of_classes_is_said_to_be_the_cause(folder):
    model = nn.ModuleDict({"conv": nn.Conv2d(1, 6, 3), "fc": nn.Linear(6, 9)})
    save_file(model.state_dict(), "mine.safetensors")
    with pytest.raises(NetworkError, match=r"fc\.weight 9 × 6 for 4 × 6.*takes num_classes"):
        load("net.py:make", weights="mine.safetensors")


def test_weights_drawn_at_random_are_called_so_and_are_the_same_each_time(folder, capsys):
    first, second = load("net.py:make"), load("net.py:make")
    assert first.facts == second.facts
    assert first.facts.weights == "random, seed 0"
    assert torch.equal(first.model.fc.weight, second.model.fc.weight)
    assert "4 of 4 tensors are drawn at random (conv.weight, conv.bias" in capsys.readouterr().err


def test_weights_that_the_function_sets_are_called_its_own(folder, capsys):
    facts = load("net.py:fixed").facts
    assert facts.weights == "set by net.py"
    assert facts.sha256 != load("net.py:make").facts.sha256
    assert re.fullmatch("[0-9a-f]{64}", facts.sha256)


def test_random_numbers_of_others_are_left_alone(folder):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load("net.py:make")
    assert torch.equal(torch.rand(3), expected)


# Preprocessing


def test_what_is_not_said_is_assumed_and_told(folder):
    facts = load("net.py:make").facts
    assert (facts.input_size_px, facts.preprocessing.mean, facts.preprocessing.std) == (
        224,
        (0.5,),
        (0.5,),
    )
    assert facts.preprocessing_source == "assumed to be that of most networks for 1 channel"


def test_what_is_said_is_taken_and_told(folder):
    some = load("net.py:make", preparation=Preparation(96, mean=(0.1,))).facts
    assert (some.input_size_px, some.preprocessing.mean) == (96, (0.1,))
    assert some.preprocessing.resize_px == pytest.approx(96 * 8 / 7)
    assert some.preprocessing_source.startswith("input size and mean as given; the rest assumed")
    every = load("net.py:make", preparation=Preparation(96, (0.1,), (0.3,))).facts
    assert every.preprocessing_source == "input size, mean and standard deviation as given"


def test_pictures_of_another_preprocessing_or_architecture_have_other_addresses(folder):
    usual = load("net.py:make").facts
    small = load("net.py:make", preparation=Preparation(96)).facts
    assert usual.sha256 == small.sha256
    assert usual.identity != small.identity
    write("net.py", NET.replace(".relu()", ".tanh()"))
    other = load("net.py:make").facts
    assert other.sha256 == usual.sha256
    assert other.identity != usual.identity
    write("net.py", NET.replace("self.fc = ", "# remark\n            self.fc = "))
    assert load("net.py:make").facts.identity == usual.identity


def test_mean_and_deviation_are_of_the_same_channels(folder):
    with pytest.raises(SpecError, match="3 means and 1 standard deviation; give --mean and --std"):
        load("net.py:make", preparation=Preparation(mean=(0.5, 0.5, 0.5)))


def test_images_of_other_channels_than_the_network_takes_are_one_line(folder):
    colours = Preparation(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    with pytest.raises(NetworkError, match=r"image of 224 px with 3 channels.*--mean and --std"):
        load("net.py:make", preparation=colours)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--mean", "0.5,x"), "cannot read --mean '0.5,x'; give a number per channel"),
        (("--mean", "124,116,104"), "give values in 0..1"),
        (("--mean", "nan"), "give values in 0..1"),
        (("--std", "0"), "give values above 0"),
        (("--std", "inf"), "give values above 0"),
        (("--input-size", "0"), "give 1 to 4,096"),
        (("--input-size", "1e9"), "cannot read --input-size '1e9'; give the side of a square"),
        (("--input-size", "96x160"), "96x160 is not square; the atlas shows networks square"),
        (("--input-size", "96,"), "cannot read --input-size '96,'"),
    ],
)
def test_numbers_that_cannot_be_are_refused(folder, options, words):
    result = run("--model", "net.py:make", *options)
    assert result.code == 2
    assert words in result.err


# What is said if it does not work


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("def make(:", r"net\.py:1: SyntaxError: "),
        ("import nothing_of_this_name", r"net\.py:1: ModuleNotFoundError: No module"),
        ("def make():\n    return 1 / 0", r"net\.py:2: ZeroDivisionError: division by zero"),
        ("import sys\n\nsys.exit(3)", r"net\.py:3: SystemExit: 3"),
        ("def make(size):\n    return size", r"TypeError: make\(\) missing 1 required"),
        ("import torch\ndef make():\n    torch.zeros(2).view(3)", r"net\.py:3: RuntimeError: "),
        ("def make():\n    return 7", "make in net.py returned int, no torch.nn.Module"),
        (
            "from torch import nn\ndef make():\n    return nn.Sequential(nn.LazyConv2d(3, 3))",
            "what make in net.py returned has lazy layers",
        ),
        (
            "from torch import nn\ndef make():\n    return nn.Conv2d(3, 4, 3)(None)",
            r"Error: net\.py:3: ",
        ),
        (
            "from torch import nn\ndef make():\n    return nn.Linear(2, 2)",
            "cannot be (computed|run)|has no convolution",
        ),
        ("def mak():\n    pass", r"net.py has no function 'make'; it has mak"),
        ("make = 3", r"net.py has no function 'make'; it has none"),
        (
            "def a(): pass\ndef b(): pass\ndef c(): pass\ndef d(): pass\ndef e(): pass",
            r"it has \w, \w, \w and 2 more",
        ),
    ],
)
def test_errors_of_the_code_are_one_line_that_names_the_place(folder, code, words):
    write("net.py", code)
    result = run("--model", "net.py:make", "--cache", "cache", "--device", "cpu")
    last = result.err.strip().splitlines()[-1]
    assert result.code == 2
    assert last.startswith("Error: ")
    assert re.search(words, last), last
    assert "Traceback" not in result.err


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gone.py:make", "no file gone.py"),
        ("nothing_here:make", "no module 'nothing_here'"),
        ("net.py", "write it like file.py:function"),
        ("net.py:", "write it like file.py:function"),
        (":make", "write it like file.py:function"),
    ],
)
def test_names_that_lead_nowhere_are_one_line(folder, name, words):
    result = run("--model", name, "--cache", "cache")
    assert result.code == 2
    assert words in result.err.strip().splitlines()[-1]


# The command, and modules in memory


def test_a_site_of_an_own_network_is_built_and_says_how_images_are_prepared(folder):
    asked = ("--model", "net.py:make", "--input-size", "40", "--kinds", "filter,noise")
    result = run(*asked, "--cache", "cache", "--out", "out", "--device", "cpu")
    assert result.code == 0, result.err
    about = (folder / "out" / "about.html").read_text(encoding="utf-8")
    assert "short side 45.71 px, of which the middle 40 px are cut out; mean 0.5;" in about
    assert "input size as given; the rest assumed" in about
    again = run(*asked, "--cache", "cache", "--out", "out", "--device", "cpu")
    assert again.out.startswith("0 pictures and panels made")


U_NET = """
    import torch
    from torch import nn

    def conv(n_in, n_out):
        layers = nn.Conv2d(n_in, n_out, 3, padding=1), nn.BatchNorm2d(n_out), nn.ReLU(inplace=True)
        return nn.Sequential(*layers)

    class UNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.outer, self.middle, self.inner = conv(3, 4), conv(4, 6), conv(6, 8)
            self.halve = nn.MaxPool2d(2)
            self.up = nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear"), conv(8, 6))
            self.up_again = nn.ConvTranspose2d(6, 4, 2, stride=2)
            self.joined, self.last = conv(12, 6), nn.Conv2d(8, 2, 1)

        def forward(self, images):
            outer = self.outer(images)
            middle = self.middle(self.halve(outer))
            up = self.up(self.inner(self.halve(middle)))
            joined = self.joined(torch.cat([middle, up], 1))
            return self.last(torch.cat([outer, self.up_again(joined)], 1))

    def make():
        torch.manual_seed(0)
        return UNet()
"""


def test_a_u_net_goes_all_the_way(folder):
    """Layers that join enlarged maps are shown images of the input size; others smaller ones."""
    write("net.py", U_NET)
    asked = ("--model", "net.py:make", "--input-size", "36", "--preset", "preview", "--units", "0")
    kinds = ("--kinds", "excitatory,field,noise,tuning")
    result = run(*asked, *kinds, "--cache", "cache", "--out", "out", "--device", "cpu")
    assert result.code == 0, result.err
    found = {
        layer: json.loads((folder / "out" / layer / "units.json").read_bytes())["units"][0]
        for layer in ("outer.0", "middle.0", "inner.0", "up.1.0", "joined.0", "last")
    }
    for unit in found.values():
        score = unit["numbers"]["excitatory"]
        assert score["z"] > score["z_start"]
    with_fields = {name for name, unit in found.items() if "field" in unit["pictures"]}
    assert with_fields == {"outer.0", "middle.0", "inner.0"}
    of_input_size = {
        name
        for name, unit in found.items()
        if unit["pictures"]["excitatory"]["size_px"] == [144, 144]  # enlarged 4 times
    }
    assert of_input_size == {"joined.0", "last"}
    assert broken_links(folder / "out") == []


def test_a_module_in_memory_is_copied_and_keeps_its_weights():
    model = Toy(1000).train()
    family = family_in_memory(model)
    asked = AtlasSpec(family=family.name, preparation=Preparation(40))
    network = load_network(asked, family)
    assert model.training and next(model.parameters()).requires_grad
    assert (network.facts.name, network.facts.weights) == ("Toy", "in memory")
    assert network.facts.preprocessing.mean == (0.485, 0.456, 0.406)
    assert network.facts.labels == assumed_labels().names
    assert "assumed" in network.facts.labels_source
    images = torch.rand(1, 3, 40, 40)
    with torch.inference_mode():
        torch.testing.assert_close(network.model(images), model.eval()(images))


HEADS = """
    import torch
    from torch import nn
    from types import SimpleNamespace

    class Net(nn.Module):
        def __init__(self, give):
            super().__init__()
            self.give = give
            self.conv, self.a, self.b = nn.Conv2d(3, 6, 3), nn.Linear(6, 4), nn.Linear(6, 3)

        def forward(self, images):
            features = self.conv(images).relu().mean((2, 3))
            return self.give(self.a, self.b, features)

    def both(): return Net(lambda a, b, x: (a(x), b(x)))
    def mean(): return Net(lambda a, b, x: (a(x)[:, :3] + b(x)) / 2)
    def other(): return Net(lambda a, b, x: {"out": b(a(x)[:, :1].expand(-1, 6))})
"""


ENCODER = """
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self, ends_with):
            super().__init__()
            self.first, self.last = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 1)
            self.ends_with = ends_with
            if ends_with == "classes of maps":
                self.last = nn.Conv2d(6, 4, 1)
            if ends_with == "classes":
                self.fc = nn.Linear(6, 4)
                self.of_training = nn.Conv2d(6, 1, 1)

        def forward(self, images):
            if self.ends_with == "code" and images.sum() > 1e9:
                images = -images
            maps = self.last(self.first(images).relu())
            if self.ends_with == "maps":
                return maps
            features = maps.mean((2, 3))
            return self.fc(features) if self.ends_with == "classes" else features

    def maps(): return Net("maps")
    def features(): return nn.Sequential(Net("maps"), nn.ReLU(), nn.Conv2d(6, 7, 3))
    def code(): return nn.Sequential(Net("code"), nn.Unflatten(1, (6, 1, 1)), nn.Conv2d(6, 7, 1))
    def classes_of_maps(): return Net("classes of maps")
    def classes(): return Net("classes")
"""


@pytest.mark.parametrize(
    ("make", "missing"), [("maps", "last"), ("features", "2"), ("code", "2"), ("classes", "last")]
)
def test_a_file_must_have_all_but_the_classes(folder, make, missing):
    write("encoder.py", ENCODER)
    state = load(f"encoder.py:{make}").model.state_dict()
    rest = {key: tensor for key, tensor in state.items() if not key.startswith(missing)}
    save_file(rest, "mine.safetensors")
    with pytest.raises(NetworkError, match=rf"missing: {missing}\.weight, {missing}\.bias; give"):
        load(f"encoder.py:{make}", weights="mine.safetensors")


@pytest.mark.parametrize(("make", "classifier"), [("classes", "fc"), ("classes_of_maps", "last")])
def test_a_file_may_lack_the_layer_that_gives_the_classes_wherever_it_is(folder, make, classifier):
    write("encoder.py", ENCODER)
    state = load(f"encoder.py:{make}").model.state_dict()
    rest = {key: tensor for key, tensor in state.items() if not key.startswith(classifier)}
    save_file(rest, "mine.safetensors")
    facts = load(f"encoder.py:{make}", weights="mine.safetensors").facts
    assert facts.classifier is None
    assert "mine.safetensors has no classifier that fits: an atlas without classes" in facts.remarks


@pytest.mark.parametrize(
    ("make", "words"),
    [
        ("both", ["the main output is not computed by calling b: left out"]),
        ("mean", ["no layer alone gives the network's main output, so it has no classes; b is sh"]),
        ("other", []),
    ],
)
def test_layers_that_are_no_classes_or_left_out_are_said_in_a_line_each(folder, make, words):
    write("heads.py", HEADS)
    remarks = load(f"heads.py:{make}").facts.remarks
    assert len(remarks) == len(words)
    assert all(map(str.startswith, remarks, words))


def test_images_of_other_channels_than_the_first_convolution_are_told_of(folder):
    code = """
        from torch import nn
        def make(): return nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(12, 4, 3))
    """
    write("shuffled.py", code)
    with pytest.raises(NetworkError, match="such as 3 numbers each where its first convolution"):
        load("shuffled.py:make")
    half = Preparation(mean=(0.5,) * 3, std=(0.5,) * 3)
    assert load("shuffled.py:make", preparation=half).facts.layers[0].in_channels == 12


@pytest.mark.parametrize("name", ["aux", "con", "a/b", "conv ", "<b>", "x" * 300])
def test_a_layer_that_no_folder_can_be_called_as_is_told_before_anything_is_made(name):
    network = nn.Sequential()
    network.add_module(name, nn.Conv2d(3, 4, 3))
    network.add_module("other", nn.Conv2d(4, 4, 3))
    with pytest.raises(NetworkError, match="has a name that a folder cannot have on every system"):
        load_network(AtlasSpec(), family_in_memory(network))


@pytest.mark.parametrize(
    ("first", "second"), [("Conv1", "conv1"), ("STRASSE", "straße"), ("caf\u00e9", "cafe\u0301")]
)
def test_layers_that_would_share_a_folder_are_told_before_anything_is_made(first, second):
    network = nn.Sequential()
    network.add_module(first, nn.Conv2d(3, 4, 3))
    network.add_module(second, nn.Conv2d(4, 4, 3))
    with pytest.raises(NetworkError, match=rf"the layers {first} and {second} would share a fold"):
        load_network(AtlasSpec(), family_in_memory(network))


@pytest.mark.parametrize(
    ("name", "missing"),
    [("nothing_here:net", "nothing_here"), ("atlas.nothing_here:net", "atlas.nothing_here")],
)
def test_a_module_that_is_not_there_is_said_to_be_missing(folder, name, missing):
    with pytest.raises(SpecError, match=rf"^Python finds no module '{missing}' from here; give"):
        find_family(name)


def test_a_module_that_imports_what_is_not_there_is_to_be_mended(folder):
    write("importing.py", "import nothing_here")
    with pytest.raises(NetworkError, match=r"^importing\.py:1: ModuleNotFoundError: .*; mend it"):
        find_family("importing:net")


@pytest.mark.parametrize("name", ["https://github.com/x/y", "hf-hub:x/y"])
def test_an_address_is_called_one(folder, name):
    with pytest.raises(SpecError, match="is an address; download the code"):
        find_family(name)


def test_a_network_in_place_of_a_function_is_called_one(folder):
    write("ready.py", "import torch\nready = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3))")
    with pytest.raises(SpecError, match=r"ready in ready\.py is a network; name a function"):
        find_family("ready.py:ready")


def test_a_file_of_weights_in_place_of_a_network_is_called_one(folder):
    write("mine.pth", "")
    with pytest.raises(SpecError, match=r"mine\.pth is a file; give weights with --weights"):
        find_family("mine.pth")


SCRIPTED = """
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()))
            self.fc = nn.Linear(4, 3)

        def forward(self, images):
            return self.fc(self.inner(images).mean((2, 3)))
"""

OWN_WEIGHT = """
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.ones(8, 4, 3, 3))
            self.conv = nn.Conv2d(8, 5, 3)

        def forward(self, images):
            return self.conv(nn.functional.conv2d(images, self.w)).mean((2, 3))
"""


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
def test_a_part_of_torchscript_is_called_what_it_is(folder):
    write("net.py", SCRIPTED)
    with pytest.raises(NetworkError, match=r"inner is of TorchScript.*before torch\.jit\.script"):
        load_network(AtlasSpec(family="net.py:Net"), find_family("net.py:Net"))


def test_channels_of_the_image_are_those_of_a_kernel_of_the_network_itself(folder):
    write("net.py", OWN_WEIGHT)
    network = load_network(AtlasSpec(family="net.py:Net"), find_family("net.py:Net"))
    assert [layer.in_channels for layer in network.layers] == [4, 8]


TWICE = """
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.again = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)

        def forward(self, images):
            x = self.again(self.again(self.conv(images)))
            return x.mean((2, 3))

    class Untraced(Net):
        def forward(self, images):
            return super().forward(images if images.mean() < 1e9 else -images)
"""


@pytest.mark.parametrize("name", ["Net", "Untraced"])
def test_a_page_says_that_its_layer_is_used_twice(folder, name):
    write("net.py", TWICE)
    options = ["--input-size", "16", "--kinds", "filter", "--out", "site"]
    assert run("--model", f"net.py:{name}", *options).code == 0
    once, twice = (folder / "site" / layer / "index.html" for layer in ("conv", "again"))
    assert "2 times for an image; what is shown is the first time" in twice.read_text()
    assert "times for an image" not in once.read_text()


def test_of_a_single_class_no_probability_among_classes_is_shown(folder):
    write("net.py", NET.replace("num_classes=4", "num_classes=1"))
    write("two.py", NET.replace("num_classes=4", "num_classes=2"))
    for name in ("net", "two"):
        options = ["--layers", "fc", "--input-size", "32", "--kinds", "excitatory,inhibitory"]
        options += ["--preset", "preview", "--device", "cpu", "--out", name]
        assert run("--model", f"{name}.py:make", *options).code == 0
    one, of_two = ((folder / name / "fc" / "0000.html").read_text() for name in ("net", "two"))
    for words in ("Rank of this class", "Probability</", "What the network sees in it"):
        assert words not in one and words in of_two
    assert "rank 1 of" not in one and " of 2" in of_two
    assert "for this class." not in one
    front = (folder / "net" / "index.html").read_text()
    assert "Net gives images one logit. This atlas shows" in front
