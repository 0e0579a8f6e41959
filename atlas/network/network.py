"""Load a network, walk its layers in forward order, and tap any of them.

The only module that knows which networks there are.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, cast

import torch
import torch.fx
from torch import Tensor, nn
from torch.fx.passes.shape_prop import ShapeProp
from torchvision.models import ResNet50_Weights, resnet50
from torchvision.models.feature_extraction import create_feature_extractor

from atlas import demo
from atlas.demo.drawings import DRAWINGS
from atlas.demo.network import MEAN, STD, build_demo
from atlas.digest import file_sha256
from atlas.errors import NetworkError
from atlas.shortcuts import UnstridedConv, in_sigmas, pooled_first, shortened
from atlas.spec import AtlasSpec
from atlas.taps import Reader, Tap, Watch
from atlas.units import Layer, NetworkFacts
from atlas.weights import download, read_state_dict
from atlas.wiring import Signal, follow

Precision = Literal["float32", "bfloat16"]
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Architecture:
    """How to build a network, and what its published weights expect of an image."""

    name: str
    build: Callable[[int], nn.Module]  # from the number of classes
    classifier: str  # dotted name of the linear layer that gives the logits
    labels: tuple[str, ...]  # of the published weights
    labels_source: str
    input_size_px: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


RESNET50 = Architecture(
    name="ResNet-50",
    build=lambda n_classes: resnet50(num_classes=n_classes),
    classifier="fc",
    labels=tuple(ResNet50_Weights.IMAGENET1K_V1.meta["categories"]),
    labels_source="ImageNet-1k, as torchvision lists it",
    input_size_px=224,
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
)

DEMO = Architecture(
    name="DemoNet",
    build=build_demo,
    classifier="fc",
    labels=tuple(drawing.label for drawing in DRAWINGS),
    labels_source="the drawings it was trained on",
    input_size_px=demo.INPUT_SIZE_PX,
    mean=MEAN,
    std=STD,
)


class Network:
    """A frozen network in evaluation mode, its facts, and taps into it."""

    def __init__(
        self, model: nn.Module, facts: NetworkFacts, device: torch.device | str = "cpu"
    ) -> None:
        self.facts = facts
        self.device = torch.device(device)
        self._shortened_models: dict[str, nn.Module] = {}
        self.model = model.eval().requires_grad_(False)
        self.model = self.model.to(self.device).to(memory_format=torch.channels_last)
        self._image_mean, self._image_std = (
            torch.tensor(values, device=self.device).view(1, -1, 1, 1)
            for values in (facts.mean, facts.std)
        )

    def tap(self, layer: Layer, precision: Precision | None = None) -> Tap:
        """Everything up to `layer`, nothing after it.

        With a precision, by the quickest way to the same function (`atlas/shortcuts.py`). Without
        one, the network as it was loaded, in float32.
        """
        model = self._shortened(precision) if precision else self.model
        leaves = {"leaf_modules": [UnstridedConv]}
        extractor = create_feature_extractor(
            model, {layer.name: "tap"}, tracer_kwargs=leaves
        ).eval()
        # With nothing in the layer's place, what comes out is what the layer takes in.
        extractor.set_submodule(layer.name, nn.Identity())
        if precision:
            extractor = pooled_first(extractor)
        module = copy.deepcopy(self.model.get_submodule(layer.name))
        module = module.to(getattr(torch, precision or "float32"))
        tap = Tap(
            *self._reading(layer), extractor=extractor, module=module, own_only=bool(precision)
        )
        return tap.to(self.device)

    def watch(self, layers: Sequence[Layer], precision: Precision = "float32") -> Watch:
        """All these layers at once, in the order given."""
        names = {layer.name: layer.name for layer in layers}
        model = in_sigmas(copy.deepcopy(self.model), self.facts.layers)
        model = model.to(getattr(torch, precision)).to(memory_format=torch.channels_last)
        leaves = {"leaf_modules": [UnstridedConv]}
        extractor = create_feature_extractor(model, names, tracer_kwargs=leaves).eval()
        return Watch([self.reader(layer) for layer in layers], extractor)

    def reader(self, layer: Layer) -> Reader:
        """How to read the layer's raw output."""
        return Reader(*self._reading(layer)).to(self.device)

    @cached_property
    def wiring(self) -> Mapping[str, Signal | None]:
        """What each layer takes in and from whom, by its name; None where it cannot be told."""
        return follow(self.model, [self.reader(layer) for layer in self.facts.layers])

    def input_swings(self, layer: Layer) -> Tensor:
        """How far each input moves with whoever writes it, 1 where unknown: (in_channels,)."""
        signal = self.wiring[layer.name]
        if signal is None:
            return torch.ones(layer.in_channels, device=self.device)
        _, swings = signal.strongest()
        return swings

    def _reading(self, layer: Layer) -> tuple[Layer, nn.BatchNorm2d | None, Tensor, Tensor]:
        norm = self.model.get_submodule(layer.batch_norm) if layer.batch_norm else None
        return layer, cast("nn.BatchNorm2d | None", norm), self._image_mean, self._image_std

    def weight(self, layer: Layer) -> Tensor:
        """The layer's weights in float32: (n_units, in_channels / groups, kh, kw)."""
        weight = cast(Tensor, self.model.get_submodule(layer.name).weight)
        return weight if weight.ndim == 4 else weight[:, :, None, None]

    def _shortened(self, precision: Precision) -> nn.Module:
        if precision not in self._shortened_models:
            model = shortened(copy.deepcopy(self.model), self.facts.layers)
            model = model.requires_grad_(False).to(getattr(torch, precision))
            self._shortened_models[precision] = model.to(memory_format=torch.channels_last)
        return self._shortened_models[precision]


def load_network(spec: AtlasSpec, device: torch.device | str = "cpu") -> Network:
    """Build the network that `spec` names and fill it with its weights.

    Raises:
        NetworkError: the weights cannot be had, read, or do not fit.
    """
    architecture = DEMO if spec.demo else RESNET50
    path = _weights_path(spec)
    state = read_state_dict(path)
    model = _fill(architecture, state, path)
    n_classes = state[f"{architecture.classifier}.weight"].shape[0]
    labels, labels_source = _default_labels(architecture, n_classes)
    if path == Path(spec.weights) and labels == architecture.labels:
        labels_source = f"assumed to be {labels_source}; --labels gives others"
    facts = NetworkFacts(
        name=architecture.name,
        weights="demo" if spec.demo else Path(spec.weights).name,
        sha256=file_sha256(path),
        labels=labels,
        labels_source=labels_source,
        input_size_px=architecture.input_size_px,
        mean=architecture.mean,
        std=architecture.std,
        layers=walk(model.eval(), architecture.input_size_px),
    )
    return Network(model, facts, device)


def walk(model: nn.Module, input_size_px: int) -> tuple[Layer, ...]:
    """Every conv layer and the classifier, in forward order, with its facts.

    Receptive fields and strides are followed along the graph; where paths meet, the larger
    counts. Source: Araujo et al. 2019, https://distill.pub/2019/computing-receptive-fields/
    """
    graph = torch.fx.symbolic_trace(model)
    ShapeProp(graph).propagate(torch.zeros(1, 3, input_size_px, input_size_px))
    fields: dict[torch.fx.Node, _Field] = {}
    layers: list[Layer] = []
    for node in graph.graph.nodes:
        module = graph.get_submodule(node.target) if node.op == "call_module" else None
        fields[node] = field = _field(node, module, fields)
        if isinstance(module, nn.Conv2d | nn.Linear):
            layers.append(_layer(node, module, field, fields, graph, len(layers)))
    return tuple(layers)


@dataclass(frozen=True)
class _Field:
    """How much of the image a position of a map sees, and what it costs to compute."""

    size_px: int = 1
    stride_px: int = 1
    centre_px: float = 0.0  # of position 0
    convs: frozenset[tuple[str, int]] = frozenset()  # (name, MACs) of everything before


def _field(
    node: torch.fx.Node, module: nn.Module | None, fields: dict[torch.fx.Node, _Field]
) -> _Field:
    inputs = [fields[source] for source in node.all_input_nodes]
    if not inputs:
        return _Field()
    before = max(inputs, key=lambda field: field.size_px)
    stride_px = max(field.stride_px for field in inputs)
    convs = frozenset().union(*(field.convs for field in inputs))
    window, stride, padding = _window(node, module)
    if isinstance(module, nn.Conv2d | nn.Linear):
        convs |= {(str(node.target), _macs(node, module))}
    return _Field(
        before.size_px + (window - 1) * stride_px,
        stride_px * stride,
        before.centre_px + ((window - 1) / 2 - padding) * stride_px,
        convs,
    )


def _window(node: torch.fx.Node, module: nn.Module | None) -> tuple[int, int, int]:
    """Size, stride and padding of the window that a node slides, along the longer side."""
    if isinstance(module, nn.Conv2d):
        spans = [d * (k - 1) + 1 for k, d in zip(module.kernel_size, module.dilation, strict=True)]
        return max(spans), max(module.stride), max(_padding(module))
    if isinstance(module, nn.MaxPool2d | nn.AvgPool2d):
        return _longest(module.kernel_size), _longest(module.stride), _longest(module.padding)
    if isinstance(module, nn.AdaptiveAvgPool2d):
        whole = max(_shape(node.all_input_nodes[0])[2:])
        return whole, whole, 0
    return 1, 1, 0


def _padding(conv: nn.Conv2d) -> tuple[int, int]:
    if conv.padding == "valid":
        return 0, 0
    if conv.padding == "same":
        height, width = (
            d * (k - 1) // 2 for k, d in zip(conv.kernel_size, conv.dilation, strict=True)
        )
        return height, width
    return _pair(cast("int | tuple[int, int]", conv.padding))


def _layer(
    node: torch.fx.Node,
    module: nn.Conv2d | nn.Linear,
    field: _Field,
    fields: dict[torch.fx.Node, _Field],
    graph: torch.fx.GraphModule,
    index: int,
) -> Layer:
    name = str(node.target)
    parts = name.split(".")
    conv = module if isinstance(module, nn.Conv2d) else None
    outside = "stem" if conv else "classifier"
    height, width = _shape(node)[2:] if conv else (1, 1)
    return Layer(
        name=name,
        index=index,
        kind="conv" if conv else "classifier",
        n_units=module.weight.shape[0],
        in_channels=_shape(node.all_input_nodes[0])[1],
        kernel=_pair(conv.kernel_size if conv else 1),
        stride=_pair(conv.stride if conv else 1),
        padding=_padding(conv) if conv else (0, 0),
        dilation=_pair(conv.dilation if conv else 1),
        groups=conv.groups if conv else 1,
        stage=parts[0] if len(parts) > 1 else outside,
        block=".".join(parts[:2]) if len(parts) > 2 else None,
        batch_norm=_batch_norm_after(node, graph),
        writers=_writers(node, graph),
        output_px=(height, width),
        receptive_field_px=field.size_px,
        field_centre_px=field.centre_px,
        total_stride_px=field.stride_px,
        macs=sum(macs for _, macs in field.convs),
    )


def _batch_norm_after(node: torch.fx.Node, graph: torch.fx.GraphModule) -> str | None:
    users = list(node.users)
    if len(users) != 1 or users[0].op != "call_module":
        return None
    name = str(users[0].target)
    return name if isinstance(graph.get_submodule(name), nn.BatchNorm2d) else None


def _writers(node: torch.fx.Node, graph: torch.fx.GraphModule) -> tuple[str, ...]:
    """The layers whose channels a layer reads, in forward order: all those that are summed."""
    found: set[str] = set()
    before = [*node.all_input_nodes]
    seen = set(before)
    while before:
        source = before.pop()
        name = str(source.target)
        if source.op == "call_module" and isinstance(
            graph.get_submodule(name), nn.Conv2d | nn.Linear
        ):
            found.add(name)
            continue
        before += [each for each in source.all_input_nodes if each not in seen]
        seen.update(source.all_input_nodes)
    return tuple(str(each.target) for each in graph.graph.nodes if str(each.target) in found)


def _macs(node: torch.fx.Node, module: nn.Conv2d | nn.Linear) -> int:
    positions = _shape(node)[2:].numel() if isinstance(module, nn.Conv2d) else 1
    return module.weight.numel() * positions


def _shape(node: torch.fx.Node) -> torch.Size:
    shape: torch.Size = node.meta["tensor_meta"].shape
    return shape


def _pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _longest(value: int | tuple[int, ...]) -> int:
    return max(_pair(value))


def _weights_path(spec: AtlasSpec) -> Path:
    if spec.demo:
        return demo.WEIGHTS_PATH
    path = Path(spec.weights)
    if path.exists() or path.suffix or len(path.parts) > 1:
        return path
    if spec.weights not in ResNet50_Weights.__members__:
        known = " or ".join(ResNet50_Weights.__members__)
        raise NetworkError(f"no weights called {spec.weights!r}; give {known}, or an existing file")
    return download(ResNet50_Weights[spec.weights].url)


def _fill(architecture: Architecture, state: dict[str, Tensor], path: Path) -> nn.Module:
    """The network with the file's tensors in it, its class count taken from the file."""
    head = state.get(f"{architecture.classifier}.weight")
    n_classes = head.shape[0] if head is not None and head.ndim == 2 else len(architecture.labels)
    model = architecture.build(n_classes)
    expected = model.state_dict()
    optional = {key for key in expected if key.endswith("num_batches_tracked")}
    misfits = {
        "missing": [key for key in expected if key not in state and key not in optional],
        "unexpected": [key for key in state if key not in expected],
        "of another shape": [
            key for key in expected if key in state and state[key].shape != expected[key].shape
        ],
        "not finite": [key for key in expected if key in state and not state[key].isfinite().all()],
    }
    if any(misfits.values()):
        details = "; ".join(f"{what}: {_first(keys)}" for what, keys in misfits.items() if keys)
        raise NetworkError(
            f"{path} does not fit {architecture.name}: {details}; "
            f"give a state dict of this architecture"
        )
    model.load_state_dict(state, strict=False)
    return model


def _first(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
    return ", ".join(keys[:3]) + more


def _default_labels(architecture: Architecture, n_classes: int) -> tuple[tuple[str, ...], str]:
    if n_classes == len(architecture.labels):
        return architecture.labels, architecture.labels_source
    return tuple(f"class {index}" for index in range(n_classes)), "none given: numbered"
