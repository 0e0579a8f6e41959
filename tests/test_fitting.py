"""A network's tensors are found in a file whatever is around them, and nothing else is taken."""

from __future__ import annotations

import functools
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision.models import resnet18, resnet34, swin_t, vgg11

from atlas.errors import NetworkError
from atlas.network.fitted import FittedModel, load_weights
from atlas.network.weights import open_weights

N_CLASSES = 3


class Net(nn.Module):
    """Convolutions with BatchNorm, in a stem and a block, and a classifier."""

    def __init__(self, n_classes: int = N_CLASSES) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)
        self.layer1 = nn.Sequential(nn.Conv2d(4, 6, 3, bias=False), nn.BatchNorm2d(6))
        self.fc = nn.Linear(6, n_classes)


class Deep(nn.Module):
    """A classifier of three layers, as VGG has."""

    def __init__(self, n_classes: int = N_CLASSES) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3))
        self.classifier = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, n_classes))


def state(seed: int = 0, n_classes: int = N_CLASSES) -> dict[str, Tensor]:
    """A state dict of `Net` with numbers of its own."""
    with torch.random.fork_rng():
        tensors = Net(n_classes).state_dict()
        torch.manual_seed(seed)
        return {key: torch.rand_like(t) if t.ndim else t for key, t in tensors.items()}


def body(seed: int = 0) -> dict[str, Tensor]:
    return {key: value for key, value in state(seed).items() if not key.startswith("fc.")}


def inside(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + key: value for key, value in tensors.items()}


def head(name: str, n_classes: int = N_CLASSES, n_inputs: int = 6) -> dict[str, Tensor]:
    return {
        f"{name}.weight": torch.full((n_classes, n_inputs), 0.5),
        f"{name}.bias": torch.full((n_classes,), 0.25),
    }


def load(tmp_path: Path, content: object, state_key: str = "", build: type = Net) -> FittedModel:
    classifier = "classifier.2" if build is Deep else "fc"
    torch.save(content, tmp_path / "a.pth")
    return load_file(tmp_path, build, classifier, N_CLASSES, state_key)


def load_file(tmp_path: Path, build, classifier: str, usual_classes: int, state_key: str = ""):
    with open_weights(tmp_path / "a.pth") as weights:
        return load_weights(build, classifier, weights, "Net", usual_classes, state_key)


def refusal(tmp_path: Path, content: object, state_key: str = "", build: type = Net) -> str:
    with pytest.raises(NetworkError) as refused:
        load(tmp_path, content, state_key, build)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def assert_body(fitted: FittedModel, seed: int = 0) -> None:
    loaded = fitted.model.state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in body(seed).items())


# Where the tensors are

WRAPPED = {
    "plain": (state(), ""),
    "in a dict": ({"state_dict": state(), "epoch": 90, "arch": "net"}, "state_dict"),
    "in a dict of any name": ({"network": state()}, "network"),
    "in two": ({"model": {"state_dict": state()}}, "model.state_dict"),
    "in a list": ([state(), {"lr": 0.1}], "0"),
    "prefix": (inside("module.", state()), "module"),
    "prefixes": (
        {"state_dict": inside("_orig_mod.module.", state())},
        "state_dict._orig_mod.module",
    ),
    "any prefix": (inside("net.0.inner.", state()), "net.0.inner"),
    "prefix of some": ({**inside("model.", state()), "ema.decay": torch.ones(1)}, "model"),
    "parameters": ({key: nn.Parameter(t) if t.ndim else t for key, t in state().items()}, ""),
    "float64": ({key: t.double() if t.ndim else t for key, t in state().items()}, ""),
}


@pytest.mark.parametrize(("content", "place"), WRAPPED.values(), ids=WRAPPED)
def test_the_place_of_the_tensors_is_found_and_said(tmp_path, content, place):
    fitted = load(tmp_path, content)
    assert_body(fitted)
    assert torch.equal(fitted.model.fc.weight, state()["fc.weight"])
    assert (fitted.n_classes, fitted.absent) == (N_CLASSES, ())
    said = [remark for remark in fitted.remarks if "the weights are those of" in remark]
    assert said == ([f"a.pth: the weights are those of {place}"] if place else [])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_short_floats_are_loaded(tmp_path, dtype):
    fitted = load(tmp_path, {key: t.to(dtype) if t.ndim else t for key, t in state().items()})
    assert torch.equal(fitted.model.conv1.weight, state()["conv1.weight"].to(dtype).float())


def test_what_only_counts_steps_may_be_missing_or_in_excess(tmp_path):
    without = {key: t for key, t in state().items() if "num_batches" not in key}
    assert load(tmp_path, without).remarks == ()
    assert load(tmp_path, {**state(), "layer1.num_batches_tracked": torch.tensor(3)}).remarks == ()


def test_a_whole_module_is_read_without_its_code(tmp_path):
    model = Net(7)
    model.load_state_dict(state(n_classes=7))
    for content in (model, {"model": nn.Sequential(model)}):
        fitted = load(tmp_path, content)
        assert_body(fitted)
        assert fitted.n_classes == 7


def test_an_archive_of_torchscript_is_called_so_and_read_without_its_code(tmp_path):
    class Whole(Net):
        def forward(self, images: Tensor) -> Tensor:
            maps = self.layer1(self.bn1(self.conv1(images)))
            return self.fc(maps.mean((2, 3)))

    model = Whole().eval()
    model.load_state_dict(state())
    torch.jit.trace(model, torch.zeros(1, 3, 9, 9)).save(tmp_path / "a.pth")
    fitted = load_file(tmp_path, Net, "fc", N_CLASSES)
    assert_body(fitted)
    assert fitted.remarks[0].startswith("a.pth is an archive of TorchScript")


def test_dots_in_names_make_no_difference(tmp_path):
    """As in the DenseNets that torchvision publishes, whose code has been changed since."""
    dotted = {key.replace("bn1.", "bn.1."): value for key, value in state().items()}
    assert_body(load(tmp_path, dotted))


def wrapped(word: str, tensors: dict[str, Tensor], module: str) -> dict[str, Tensor]:
    """A state dict in which one module is wrapped in another."""
    return {
        key.replace(f"{module}.", f"{module}.{word}.", 1): value for key, value in tensors.items()
    }


@pytest.mark.parametrize(
    "word", ["module", "_orig_mod", "_fsdp_wrapped_module", "_orig_mod.module"]
)
def test_single_modules_may_be_wrapped(tmp_path, word):
    fitted = load(
        tmp_path, {"model": inside("module.", wrapped(word, state(n_classes=7), "layer1"))}
    )
    assert_body(fitted)
    assert fitted.n_classes == 7
    assert fitted.remarks == ("a.pth: the weights are those of model.module",)
    deep = Deep(4).state_dict()
    fitted = load(tmp_path, wrapped(word, deep, "features"), build=Deep)
    assert (fitted.n_classes, fitted.remarks) == (4, ())
    loaded = fitted.model.state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in deep.items())


def test_a_wrapped_module_beside_another_of_its_name_is_not_taken_for_it(tmp_path):
    both = {**state(), **wrapped("extra", body(1), "layer1")}
    del both["layer1.0.weight"]
    said = refusal(tmp_path, both)
    assert "missing: layer1.0.weight" in said


def test_other_names_in_the_same_order_are_taken_and_said(tmp_path):
    model = Net()
    model.load_state_dict(state())
    children = nn.Sequential(*model.children())
    fitted = load(tmp_path, {"model": inside("0.", children.state_dict())})
    assert_body(fitted)
    assert torch.equal(fitted.model.fc.weight, state()["fc.weight"])
    assert "a.pth: the tensors have other names and are taken in their order" in fitted.remarks
    turned = dict(reversed(children.state_dict().items()))
    assert "has no tensor of Net" in refusal(tmp_path, turned)


# Which of several

COPIES = {
    "EMA beside": ({"state_dict": state(0), "state_dict_ema": state(1)}, "state_dict_ema"),
    "EMA first": (
        {"model_ema": inside("module.", state(1)), "model": state(0)},
        "model_ema.module",
    ),
    "SWA": (inside("swa_model.", state(1)) | inside("model.", state(0)), "swa_model"),
    "teacher first": ({"teacher": state(1), "student": state(0)}, "teacher"),
    "encoders": (inside("encoder_q.", body(0)) | inside("encoder_k.", body(1)), "encoder_k"),
    "a head": ({"target": body(1), "online": state(0)}, "target"),
    "the same twice": ({"a": state(0), "b": state(1)}, "b"),
}


@pytest.mark.parametrize(("content", "other"), COPIES.values(), ids=COPIES)
def test_of_several_that_fit_the_trained_one_is_taken_and_the_others_are_named(
    tmp_path, content, other
):
    fitted = load(tmp_path, content)
    assert_body(fitted, 0)
    assert f"; {other} would fit too, chosen with --state-key {other}" in fitted.remarks[0]
    assert_body(load(tmp_path, content, other), 1)


def test_the_same_object_under_two_names_is_told_too(tmp_path):
    shared = state()
    fitted = load(tmp_path, {"state_dict": shared, "state_dict_ema": shared})
    assert "state_dict_ema would fit too" in fitted.remarks[0]


def test_a_part_of_a_place_is_enough_to_choose_it(tmp_path):
    content = {"state_dict": inside("module.q.", body(0)) | inside("module.k.", body(1))}
    assert_body(load(tmp_path, content, "k"), 1)


def test_a_key_that_holds_nothing_that_fits_lists_those_that_do(tmp_path):
    content = {"state_dict": state(0), "state_dict_ema": state(1)}
    message = refusal(tmp_path, content, "state_dict_em")
    assert "nothing for --state-key state_dict_em that fits Net" in message
    assert message.endswith("what fits is state_dict, state_dict_ema")


def test_networks_under_numbers_are_chosen_by_them(tmp_path):
    content = {0: state(), 1: state(1)}
    assert_body(load(tmp_path, content))
    fitted = load(tmp_path, content, "1")
    assert_body(fitted, seed=1)
    assert fitted.remarks[0].startswith("a.pth: the weights are those of 1; 0 would fit too")


def test_what_an_optimiser_keeps_of_each_tensor_is_not_left_over(tmp_path):
    net = Net()
    optimiser = torch.optim.SGD(net.parameters(), momentum=0.9)
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimiser.step()
    fitted = load(tmp_path, {"model": state(), "optimizer": optimiser.state_dict()})
    assert_body(fitted)
    assert not [remark for remark in fitted.remarks if "left over" in remark]


def test_the_copy_that_fits_whole_wins_over_the_one_that_comes_first(tmp_path):
    shadow = {key: t for key, t in state(1).items() if "running" not in key}
    assert_body(load(tmp_path, {"shadow_params": shadow, "model": state(0)}))


@pytest.mark.parametrize("names", [("student", "teacher"), ("b", "a"), ("teacher", "student")])
def test_a_larger_network_with_the_same_layers_is_neither_taken_nor_offered(tmp_path, names):
    own, other = names
    larger = state(1) | {"layer1.2.weight": torch.ones(6, 6, 3, 3)}
    fitted = load(tmp_path, {other: larger, own: state(0)})
    assert_body(fitted, 0)
    assert fitted.remarks[0] == f"a.pth: the weights are those of {own}"
    assert f"left over and not used: {other}.conv1.weight" in fitted.remarks[1]
    message = refusal(tmp_path, {other: larger, own: state(0)}, other)
    assert "not in this architecture: layer1.2.weight" in message


# The classifier

HEADS = {
    "own name": ({**body(), **head("fc", 7)}, "fc"),
    "in a Sequential": ({**body(), **head("fc.1", 7)}, "fc.1"),
    "last_linear": ({**body(), **head("last_linear", 7)}, "last_linear"),
    "beside the body": ({**inside("backbone.", body()), **head("head.fc", 7)}, "head.fc"),
    "in a dict of its own": ({"encoder": body(), "classifier": head("0", 7)}, "classifier.0"),
    "the nearer of two": (
        {
            "a": inside("b.", body()) | head("head", 7),
            "ema": inside("b.", body(1)) | head("head", 9),
        },
        "a.head",
    ),
    "the first of two": ({**body(), **head("head_a", 7), **head("head_b", 9)}, "head_a"),
}


@pytest.mark.parametrize(("content", "name"), HEADS.values(), ids=HEADS)
def test_a_classifier_of_another_name_is_taken_where_its_shape_fits(tmp_path, content, name):
    fitted = load(tmp_path, content)
    assert_body(fitted)
    assert fitted.n_classes == 7
    assert torch.equal(fitted.model.fc.weight, torch.full((7, 6), 0.5))
    assert torch.equal(fitted.model.fc.bias, torch.full((7,), 0.25))
    said = [remark for remark in fitted.remarks if "the classifier is" in remark]
    assert said == ([] if name == "fc" else [f"a.pth: the classifier is {name}"])


def test_a_classifier_without_a_bias_has_zeros_for_one(tmp_path):
    content = body() | head("fc", 7)
    del content["fc.bias"]
    fitted = load(tmp_path, content)
    assert fitted.n_classes == 7 and not fitted.model.fc.bias.any()
    said = "a.pth: the classifier has no bias: fc.bias is missing, taken as zeros"
    assert fitted.remarks == (said,)
    assert load(tmp_path, body() | head("fc", 7)).remarks == ()


def on_meta(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: each.to("meta") for key, each in tensors.items()}


def sparse(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: each.to_sparse() for key, each in tensors.items()}


@pytest.mark.parametrize(
    ("convert", "words"),
    [
        (on_meta, "on the meta device.*; only their shapes were saved; save them again"),
        (sparse, r"sparse.*; make them dense with to_dense\(\) before"),
    ],
)
def test_tensors_without_plain_numbers_have_remedies_of_their_own(tmp_path, convert, words):
    assert re.search(words, refusal(tmp_path, convert(state())))


def test_the_classes_of_a_sparse_classifier_are_those_of_its_bias(tmp_path):
    content = state(n_classes=7)
    content["fc.weight"] = content["fc.weight"].to_sparse()
    said = refusal(tmp_path, content)
    assert "of another type: fc.weight (sparse)" in said and "fc.bias" not in said


@pytest.mark.parametrize("n_dimensions", [17, 60])
@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "before 1.6"])
def test_tensors_of_many_dimensions_are_left_over_or_called_so(tmp_path, n_dimensions, is_zip):
    many = torch.ones([1] * n_dimensions)
    content = {**state(), "more": many, "empty": many[:0], "array": many.numpy()[(0,) * 9 + (...,)]}
    torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=is_zip)
    remarks = load_file(tmp_path, Net, "fc", N_CLASSES).remarks
    assert remarks == ("a.pth: left over and not used: more, empty, array",)
    said = refusal(tmp_path, {**state(), "conv1.weight": many})
    assert f"of another type: conv1.weight (of {n_dimensions} dimensions);" in said


def test_arrays_of_many_dimensions_are_left_over(tmp_path):
    more = {"more": np.ones([1] * 30, "f4"), "int": np.ones([1] * 30, "u4")}
    write_npz(as_arrays(state()) | more, tmp_path / "a.pth")
    remarks = load_file(tmp_path, Net, "fc", N_CLASSES).remarks
    assert remarks == ("a.pth: left over and not used: more, int",)


def as_arrays(tensors: dict[str, Tensor]) -> dict[str, np.ndarray]:
    return {key: each.numpy() for key, each in tensors.items()}


def write_pickle(arrays: dict[str, np.ndarray], path: Path, protocol: int = 4) -> None:
    path.write_bytes(pickle.dumps({"model": arrays, "matching_heuristics": True}, protocol))


def write_npz(arrays: dict[str, np.ndarray], path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, **arrays)


@pytest.mark.parametrize(
    "write",
    [
        torch.save,
        write_npz,
        *(functools.partial(write_pickle, protocol=protocol) for protocol in range(2, 6)),
    ],
)
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_numpy_are_read_as_tensors(tmp_path, write, order):
    arrays = {key: np.array(each, order=order) for key, each in as_arrays(state()).items()}
    write(arrays, tmp_path / "a.pth")
    found = load_file(tmp_path, Net, "fc", N_CLASSES).model.state_dict()
    assert all(torch.equal(found[key], each) for key, each in state().items())


def test_arrays_in_the_byte_order_of_another_machine_are_of_another_type(tmp_path):
    content = {key: each.astype(">f4") for key, each in as_arrays(state()).items()}
    assert "of another type: conv1.weight (an array of >f4)" in refusal(tmp_path, content)


def test_a_compressed_archive_of_arrays_is_called_so(tmp_path):
    with (tmp_path / "a.pth").open("wb") as file:
        np.savez_compressed(file, **as_arrays(state()))
    with pytest.raises(NetworkError, match=r"compressed archive of NumPy arrays.*numpy\.savez\("):
        load_file(tmp_path, Net, "fc", N_CLASSES)


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_an_archive_of_arrays_that_is_cut_off_is_refused(tmp_path, cut):
    write_npz(as_arrays(state()), tmp_path / "a.pth")
    data = (tmp_path / "a.pth").read_bytes()
    (tmp_path / "a.pth").write_bytes(data[: len(data) * cut // 4])
    with pytest.raises(NetworkError, match="truncated or damaged"):
        load_file(tmp_path, Net, "fc", N_CLASSES)


def test_an_array_with_fewer_numbers_than_its_shape_is_refused(tmp_path):
    data = pickle.dumps({"conv1.weight": np.ones((4, 3, 3, 3), np.float32)}, 4)
    assert data.count(b"K\x04K\x03K\x03K\x03") == 1
    (tmp_path / "a.pth").write_bytes(data.replace(b"K\x04K\x03K\x03", b"K\x05K\x03K\x03"))
    with pytest.raises(NetworkError, match="is a pickle, but none of"):
        load_file(tmp_path, Net, "fc", N_CLASSES)


HEADLESS = {
    "nothing": {},
    "a projection": head("fc.0", 6) | head("fc.2", 9),
    "a projection elsewhere": head("projector.0", 8) | head("projector.3", 2, 8),
    "normed first": head("fc.1", 7) | {"fc.0.weight": torch.ones(6), "fc.0.bias": torch.ones(6)},
    "of other inputs": head("fc", 7, 12),
    "of a loss": {"criterion.weight": torch.ones(6)},
    "no classes": head("head", 0),
}


@pytest.mark.parametrize("others", HEADLESS.values(), ids=HEADLESS)
def test_without_a_classifier_there_are_no_classes_and_the_rest_is_named(tmp_path, others):
    fitted = load(tmp_path, body() | others)
    assert_body(fitted)
    assert (fitted.n_classes, fitted.absent) == (None, ("fc",))
    assert "a.pth has no classifier that fits: an atlas without classes" in fitted.remarks
    named = [remark for remark in fitted.remarks if "left over and not used" in remark]
    assert len(named) == bool(others)
    assert all(next(iter(others)) in remark for remark in named)


def deep_state(n_classes: int = N_CLASSES) -> dict[str, Tensor]:
    return dict(Deep(n_classes).state_dict())


def test_outputs_that_a_queue_keeps_are_no_classes(tmp_path):
    content = inside("encoder_q.", {**body(), **head("fc", 4)})
    assert load(tmp_path, content).n_classes == 4
    fitted = load(tmp_path, {**content, "queue": torch.rand(4, 64), "queue_ptr": torch.zeros(1)})
    assert (fitted.n_classes, fitted.absent) == (None, ("fc",))
    other = {**content, "queue": torch.rand(5, 64)}
    assert load(tmp_path, other).n_classes == 4


def test_layers_that_lead_to_the_classifier_may_be_missing_with_it(tmp_path):
    convs = {key: t for key, t in deep_state().items() if key.startswith("features.")}
    fitted = load(tmp_path, convs, build=Deep)
    assert (fitted.n_classes, fitted.absent) == (None, ("classifier.0", "classifier.2"))
    hidden = {key: t for key, t in deep_state().items() if not key.startswith("classifier.2")}
    assert load(tmp_path, hidden, build=Deep).absent == ("classifier.2",)


def test_a_classifier_that_reads_a_missing_layer_is_refused(tmp_path):
    content = {key: t for key, t in deep_state(9).items() if not key.startswith("classifier.0")}
    assert "missing: classifier.0.weight, classifier.0.bias;" in refusal(
        tmp_path, content, build=Deep
    )


# What does not fit


def test_what_is_missing_in_the_body_is_named(tmp_path):
    content = state()
    del content["layer1.0.weight"]
    assert "a.pth does not fit Net: missing: layer1.0.weight; give" in refusal(tmp_path, content)


def test_other_shapes_are_told(tmp_path):
    content = state() | {"conv1.weight": torch.zeros(4, 3, 5, 5)}
    said = refusal(tmp_path, content)
    assert "of another shape: conv1.weight 4 × 3 × 5 × 5 for 4 × 3 × 3 × 3; a variant of it" in said
    assert "--model FILE.py:FUNCTION" in said


@pytest.mark.parametrize("name", ["layer1.2.weight", "layer1.0.bias", "conv1.se.weight"])
def test_more_inside_the_body_is_another_architecture(tmp_path, name):
    content = inside("model.", state() | {name: torch.ones(6, 1)})
    assert f"not in this architecture: {name};" in refusal(tmp_path, content)


def test_counters_and_what_lies_beside_the_network_do_no_harm(tmp_path):
    beside = {"total_ops": torch.ones(1), "layer1.total_ops": torch.ones(1), "queue": torch.ones(9)}
    fitted = load(tmp_path, state() | beside)
    assert_body(fitted)
    assert fitted.remarks == ("a.pth: left over and not used: total_ops, layer1.total_ops, queue",)


def test_a_network_that_builds_another_number_of_classes_is_refused(tmp_path):
    torch.save(state(n_classes=7), tmp_path / "a.pth")
    with pytest.raises(NetworkError, match=r"of another shape: fc\.weight 7 × 6 for 3 × 6"):
        load_file(tmp_path, lambda _: Net(3), "fc", N_CLASSES)


def test_a_network_without_a_classifier_takes_a_file_with_one(tmp_path):
    torch.save(state(), tmp_path / "a.pth")
    fitted = load_file(tmp_path, lambda _: Net().layer1, "", 0)
    assert torch.equal(fitted.model[0].weight, state()["layer1.0.weight"])
    assert fitted.n_classes is None


@pytest.mark.parametrize(
    ("build", "name"), [(resnet18, "resnet18"), (resnet34, "resnet34"), (vgg11, "vgg11")]
)
def test_an_architecture_of_torchvision_is_recognised(tmp_path, build, name):
    model = build(num_classes=2) if name != "vgg11" else build(num_classes=2).features
    prefix = "features." if name == "vgg11" else ""
    content = {"model": inside(f"module.{prefix}", model.half().state_dict())}
    message = refusal(tmp_path, content)
    assert message.endswith(f"it fits torchvision's {name}: use --model {name}")


def test_an_architecture_whose_classifier_does_not_fit_is_not_recommended(tmp_path):
    content = resnet18(num_classes=2).state_dict() | {"fc.bias": torch.zeros(3)}
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(NetworkError, match=r"of another shape: fc\.bias 3 for 2") as refused:
        load_file(tmp_path, lambda n_classes: resnet18(num_classes=n_classes), "fc", 1000)
    assert "use --model" not in str(refused.value)


def test_a_transformer_is_recognised_as_what_is_not_drawn(tmp_path):
    message = refusal(tmp_path, swin_t(num_classes=2).half().state_dict())
    assert message.endswith(
        "it fits torchvision's swin_t: it is a transformer, and the atlas draws convolutional "
        "networks"
    )


def test_an_architecture_of_nobody_is_not_taken_for_another(tmp_path):
    content = resnet18(num_classes=2).half().state_dict()
    content["layer3.0.se.weight"] = torch.ones(4, 4)
    assert refusal(tmp_path, content).endswith("or name its architecture with --model")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"conv1.lora_A.weight": torch.ones(2, 3)}, "LoRA adapter"),
        (torch.optim.Adam([nn.Parameter(torch.ones(2))]).state_dict(), "state of an optimiser"),
        ({"optimizer": {"state": {}, "param_groups": []}}, "state of an optimiser"),
        ({"a": torch.ones(2)}, "has no tensor of Net, but a; give"),
    ],
)
def test_files_of_something_else_are_called_what_they_are(tmp_path, content, words):
    assert words in refusal(tmp_path, content)


def test_an_archive_of_arrays_whose_description_is_no_python_is_damaged(tmp_path):
    write_npz(as_arrays(state()), tmp_path / "a.pth")
    data = (tmp_path / "a.pth").read_bytes()
    (tmp_path / "a.pth").write_bytes(data.replace(b"'shape': (4, 3", b"'shape': (4((3"))
    with pytest.raises(NetworkError, match="an archive of NumPy arrays"):
        load_file(tmp_path, Net, "fc", N_CLASSES)
