"""What a module may be for the atlas to read it, and that it is read without what is around it."""

from __future__ import annotations

import copy

import pytest
import torch
from conftest import make_network
from torch import fx, nn
from torch.nn.utils import parametrizations, prune
from torch.optim.swa_utils import AveragedModel

from atlas.errors import NetworkError
from atlas.families.modules import (
    copied,
    evaluated,
    plain,
    refuse_unreadable,
    sharing_weights,
    with_tensors,
)


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1))


@pytest.mark.parametrize(
    "wrap",
    [
        nn.DataParallel,
        torch.compile,
        AveragedModel,
        lambda model: nn.DataParallel(torch.compile(model)),
        lambda model: nn.Sequential(*(torch.compile(each) for each in model)),
    ],
)
def test_what_pytorch_wraps_around_a_network_is_in_no_name(wrap):
    found = plain(wrap(net()))
    assert found.state_dict().keys() == net().state_dict().keys()
    images = torch.rand(1, 3, 9, 9)
    torch.testing.assert_close(found(images), net()(images))
    assert torch.fx.symbolic_trace(found)


def test_a_module_of_the_users_with_one_child_called_module_keeps_its_names():
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = net()

        def forward(self, images):
            return -self.module(images)

    assert all(key.startswith("module.") for key in plain(Own()).state_dict())


def test_a_network_that_was_compiled_in_place_can_be_traced():
    model = net()
    model.compile()
    assert torch.fx.symbolic_trace(plain(model))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_numbers_of_any_width_become_float32(dtype):
    assert {each.dtype for each in plain(net().to(dtype)).parameters()} == {torch.float32}


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_module_that_keeps_a_tensor_it_has_computed_is_copied():
    model = nn.Sequential(torch.nn.utils.weight_norm(nn.Conv2d(3, 4, 3)))
    model.kept = model[0].weight * 2
    with pytest.raises(RuntimeError, match="deepcopy"):
        copy.deepcopy(model)
    found = copied(model)
    images = torch.rand(1, 3, 9, 9)
    torch.testing.assert_close(found(images), model(images))
    with torch.no_grad():
        found[0].weight_g.zero_()
    assert model[0].weight_g.abs().min() > 0


def test_a_copy_with_other_tensors_leaves_the_module_as_it_was():
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), parametrizations.weight_norm(nn.Conv2d(4, 4, 1))
    ).eval()
    model.again = model[0]
    images = torch.rand(1, 3, 9, 9)
    before = model[:3](images)
    doubled = with_tensors(model, lambda each: nn.Parameter(each.detach() * 2, requires_grad=False))
    assert doubled.again is doubled[0] is not model[0]
    torch.testing.assert_close(doubled[0](images), 2 * model[0](images))
    doubled[0] = nn.Identity()
    assert torch.equal(model[:3](images), before)
    bare = with_tensors(
        model,
        lambda tensor: tensor,
        lambda each: nn.Identity() if isinstance(each, nn.BatchNorm2d) else None,
    )
    torch.testing.assert_close(bare[1](before), before)


def test_a_graph_that_shares_weights_is_taken_to_another_precision_alone():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).eval()
    graph = fx.symbolic_trace(model)
    shared = sharing_weights(graph)
    assert shared.get_submodule("0").weight.data_ptr() == model[0].weight.data_ptr()
    shared.bfloat16()
    shared.get_submodule("1").running_mean.add_(1)
    images = torch.rand(1, 3, 9, 9)
    assert torch.equal(graph(images), model(images))
    assert model[1].running_mean.abs().max() == 0
    assert shared(images.bfloat16()).dtype == torch.bfloat16


def on_meta() -> nn.Module:
    with torch.device("meta"):
        return net()


def exported() -> nn.Module:
    model = nn.Sequential(nn.Conv2d(3, 4, 3))
    return torch.export.export(model.eval(), (torch.zeros(1, 3, 8, 8),)).module()


def with_tensor(tensor: torch.Tensor) -> nn.Module:
    model = net()
    model.register_buffer("odd", tensor)
    return model


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: nn.Sequential(nn.LazyConv2d(4, 3)), r"has lazy layers \(0\.weight\); show it an"),
        (on_meta, r"without numbers \(0\.weight\); make it on the CPU"),
        (lambda: nn.Sequential(exported()), "is an exported program"),
        (exported, "is an exported program, which has no layers any more; give the nn.Module"),
        (lambda: torch.jit.script(net()), "is a TorchScript module, which hides its layers; give"),
        (
            lambda: with_tensor(torch.quantize_per_tensor(torch.zeros(3), 1.0, 0, torch.qint8)),
            r"quantised tensors \(odd\); give the network from before",
        ),
        (lambda: with_tensor(torch.zeros(3, dtype=torch.complex64)), "complex weights"),
        (lambda: with_tensor(torch.eye(3).to_sparse()), r"sparse tensors \(odd\); make them dense"),
        (
            lambda: torch.ao.quantization.quantize_dynamic(
                nn.Sequential(nn.Linear(3, 3)), {nn.Linear}, dtype=torch.qint8
            ),
            "quantised layers; give the network from before",
        ),
    ],
)
def test_a_module_that_cannot_be_read_is_called_what_it_is(make, words):
    with pytest.raises(NetworkError, match=f"^the network .*{words}"):
        refuse_unreadable(make(), "the network")


def test_a_network_with_weights_is_accepted():
    refuse_unreadable(net(), "the network")


@pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated:FutureWarning")
@pytest.mark.parametrize(
    "wrap",
    [
        nn.utils.weight_norm,
        nn.utils.spectral_norm,
        lambda layer: prune.l1_unstructured(layer, "weight", 0.5),
        lambda layer: prune.l1_unstructured(prune.random_unstructured(layer, "bias", 1), "bias", 1),
    ],
)
def test_weights_that_hooks_compute_become_parameters_with_the_same_answers(wrap):
    model = net()
    wrap(model[0])
    images = torch.rand(2, 3, 9, 9)
    model.eval()
    expected = model(images).detach()
    found = copy.deepcopy(evaluated(model))
    assert dict(found.named_parameters()).keys() == dict(net().named_parameters()).keys()
    assert torch.equal(found(images), expected)
    network = make_network(found, 9)
    torch.testing.assert_close(network.weight(network.layers[0]), found[0].weight)


def test_evaluation_mode_reaches_modules_that_override_it():
    class NeverEval(nn.Sequential):
        def eval(self):
            return self

    model = evaluated(NeverEval(*net(), nn.BatchNorm2d(2)))
    assert not any(module.training for module in model.modules())
    before = model[-1].running_mean.clone()
    model(torch.rand(2, 3, 9, 9))
    assert torch.equal(model[-1].running_mean, before)
