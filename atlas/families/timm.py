"""Convolutional networks of timm, with the preprocessing and weights that its configurations name.

Source: https://huggingface.co/docs/timm
"""

from __future__ import annotations

import contextlib
import difflib
import importlib.util
import math
import socket
import threading
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, cast, get_args
from urllib.parse import urlsplit
from urllib.request import getproxies

from atlas.errors import NetworkError, SpecError
from atlas.families.family import Family, Finder, PublishedWeights, ReadyNetwork
from atlas.labels import ClassLabels
from atlas.text import displayable
from atlas.units import Interpolation, Preprocessing

if TYPE_CHECKING:
    from torch import nn

PREFIX = "timm:"
PATIENCE_S = 4.0  # with the hub


def find(name: str) -> Family:
    """The family of timm's network that `timm:NAME` names; NAME may end with a tag of weights.

    Raises:
        SpecError: timm is not installed, or has no such network.
        NetworkError: it is no convolutional network.
    """
    if importlib.util.find_spec("timm") is None:
        raise SpecError(f"{name} needs timm, which is not installed; pip install timm")
    from atlas.families.architecture import outline, refuse_other_than_convolutional

    architecture, _, tag = name.removeprefix(PREFIX).partition(".")
    _refuse_unknown(architecture, name)
    configs = _configs(architecture)
    if tag and tag not in configs:
        raise SpecError(f"no weights {tag!r} for {architecture}; give {_one_of(list(configs))}")
    build = partial(_build, architecture)
    model = outline(build)
    refuse_other_than_convolutional(name, model)
    default = tag or next(iter(configs), "")
    config = configs[default] if default else cast("dict[str, Any]", model.pretrained_cfg)
    return Family(
        name=name,
        title=architecture,
        about=f"timm's {architecture}.",
        build=build,
        classifier=_classifier(config),
        weights={tag: _published(architecture, tag, config) for tag, config in configs.items()}
        or {"": PublishedWeights(preprocessing=partial(_preprocessing, config))},
        default_weights=default,
        labels=partial(_labels, config),
        variant=lambda _: f"{PREFIX}{architecture}.{default}",
    )


def has(name: str) -> bool:
    """Whether timm, if it is installed, has a network of a name, which may end with a tag."""
    if importlib.util.find_spec("timm") is None:
        return False
    import timm

    return name.partition(".")[0] in timm.list_models()


def _refuse_unknown(architecture: str, name: str) -> None:
    import timm

    names = timm.list_models()
    if architecture in names:
        return
    close = difflib.get_close_matches(architecture, names)
    hint = f"did you mean {_one_of([PREFIX + each for each in close])}?" if close else ""
    raise SpecError(f"no network called {name!r}; {hint or 'timm.list_models() lists them'}")


def _one_of(names: list[str]) -> str:
    return " or ".join(names) or "a file with --weights FILE"


def _configs(architecture: str) -> Mapping[str, dict[str, Any]]:
    """By tag, the configurations of the architecture's weights, the default first."""
    from timm.models import get_arch_pretrained_cfgs

    found = get_arch_pretrained_cfgs(architecture)
    return {config.tag: config.to_dict() for config in found.values() if config.has_weights}


def _build(architecture: str, n_classes: int) -> nn.Module:
    import timm

    model: nn.Module = timm.create_model(architecture, num_classes=n_classes)
    return model


def _classifier(config: Mapping[str, Any]) -> str:
    """Dotted name of the classifier; of several, the first gives the logits."""
    names = config.get("classifier") or ""
    return names if isinstance(names, str) else names[0]


def _published(architecture: str, tag: str, config: Mapping[str, Any]) -> PublishedWeights:
    return PublishedWeights(
        preprocessing=partial(_preprocessing, config),
        network=partial(_pretrained, architecture, tag),
    )


def _pretrained(architecture: str, tag: str) -> ReadyNetwork:
    """The network with published weights, which timm downloads if they are not there."""
    import timm
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        with _without_waiting_for_hub():
            return ReadyNetwork(timm.create_model(f"{architecture}.{tag}", pretrained=True), tag)
    except Exception as error:  # of the hub, of the connection, of the file
        reason = displayable(str(error).partition("\n")[0]) or type(error).__name__
        if isinstance(error, LocalEntryNotFoundError):
            reason = f"they are not in its cache, and {_hub()} cannot be reached"
        raise NetworkError(
            f"timm cannot load the weights {architecture}.{tag}: {reason}; "
            "give a local file with --weights FILE"
        ) from error


@contextlib.contextmanager
def _without_waiting_for_hub() -> Iterator[None]:
    """Let timm take weights from its cache only, where the hub does not answer.

    Its client would try again for most of a minute.
    """
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not (getproxies() or _answers(_hub()))
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _hub() -> str:
    """The host that has the weights."""
    from huggingface_hub import constants

    return urlsplit(constants.ENDPOINT).hostname or constants.ENDPOINT


def _answers(host: str) -> bool:
    """Whether a host can be reached, tried in a thread since asking for its address may hang."""
    reached = threading.Event()

    def connect() -> None:
        with contextlib.suppress(OSError), socket.create_connection((host, 443), PATIENCE_S):
            reached.set()
        done.set()

    done = threading.Event()
    threading.Thread(target=connect, daemon=True).start()
    done.wait(PATIENCE_S)
    return reached.is_set()


def _preprocessing(config: Mapping[str, Any]) -> Preprocessing:
    """The preprocessing of a configuration, as timm's own evaluation does it.

    Raises:
        NetworkError: images are not square.
    """
    from timm.data import resolve_data_config

    data = resolve_data_config({}, pretrained_cfg=dict(config))
    _, height_px, width_px = data["input_size"]
    if height_px != width_px:
        raise NetworkError(
            f"{config['architecture']} takes images of {width_px} x {height_px} px; "
            "the atlas draws networks that take squares"
        )
    return Preprocessing(
        size_px=height_px,
        resize_px=math.floor(height_px / data["crop_pct"]),
        mean=tuple(data["mean"]),
        std=tuple(data["std"]),
        interpolation=_interpolation(data["interpolation"]),
    )


def _interpolation(name: str) -> Interpolation:
    """What Pillow calls it; bilinear where training took any at random."""
    known = get_args(Interpolation)
    return cast(Interpolation, name) if name in known else "bilinear"


def _labels(config: Mapping[str, Any]) -> ClassLabels:
    """Those of the part of ImageNet that timm takes the weights to be trained on, if any."""
    from timm.data import ImageNetInfo, infer_imagenet_subset

    subset = infer_imagenet_subset(dict(config))
    if subset is None:
        return ClassLabels((), "none given")
    info = ImageNetInfo(subset)
    return ClassLabels(
        names=tuple(info.index_to_description(index) for index in range(info.num_classes())),
        source=f"{subset}, as timm lists it",
        wordnet_ids=tuple(info.label_names()),
    )


FINDER = Finder(
    form=f"{PREFIX}NAME",
    about="a convolutional network of timm, if it is installed",
    owns=lambda name: name.startswith(PREFIX),
    find=find,
)
