"""What it means when a network's own code fails on an image: the cause, and the remedy."""

from __future__ import annotations

import inspect
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from atlas.errors import NetworkError
from atlas.text import displayable

if TYPE_CHECKING:
    from torch import nn

_DEVICES = ("nvidia", "cuda", "same device", "hip ", "xpu", "mps device")
_TYPES = ("bias type", "weight type", "scalar type", "same dtype")
# What operations on images of other shapes raise.
_ABOUT_SHAPES = (RuntimeError, ValueError, AssertionError, IndexError)
_PACKAGE = Path(__file__).parent
COLOURS = 3
STAY_ON_CPU = "let it stay on the CPU, the atlas takes it to the device itself"


def is_about_device(error: BaseException) -> bool:
    """Whether an error says that a device is not there, or that tensors are on different ones."""
    text = str(error).lower()
    return isinstance(error, RuntimeError | AssertionError) and any(
        sign in text for sign in _DEVICES
    )


def does_not_run(model: nn.Module, n_channels: int, size_px: int, error: Exception) -> NetworkError:
    """The error for a network whose own code fails on images of its input size.

    Args:
        model: the network.
        n_channels: of the images.
        size_px: their side.
        error: what its code raised.
    """
    image = _image(n_channels, size_px)
    if about := _about_inputs(model) or _about_convolutions(model):
        return NetworkError(f"the network cannot be run on {image}: {about}")
    message = displayable(str(error).partition("\n")[0])
    cause = message or f"{type(error).__name__}{_where(error)}"  # an assert has no message
    if is_about_device(error):
        return NetworkError(
            f"the network cannot be run where it is: {cause}; let its code make tensors on the "
            "device of the image, and move nothing"
        )
    if isinstance(error, RuntimeError) and any(sign in str(error) for sign in _TYPES):
        return NetworkError(
            f"the network cannot be run in float32: {cause}; let its code leave the image in the "
            "type that it has, which is that of its weights"
        )
    if isinstance(error, _ABOUT_SHAPES):
        return NetworkError(f"the network cannot be run on {image}: {cause}; {_way_on(n_channels)}")
    return fails_on(n_channels, size_px, error)


def fails_on(n_channels: int, size_px: int, error: Exception) -> NetworkError:
    """The error for a network whose own code fails on some images, though not on all.

    Args:
        n_channels: of the images.
        size_px: their height.
        error: what its code raised.
    """
    message = displayable(str(error).partition("\n")[0])
    cause = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return NetworkError(
        f"the network's code fails on {_image(n_channels, size_px)}: {cause}{_where(error)}; mend "
        "it there"
    )


def takes_one_image(layer: str) -> NetworkError:
    """The error for a network whose layer cannot be computed for two images at once."""
    return NetworkError(
        f"the network takes one image at a time: {displayable(layer)} is not computed for two; let "
        "its code keep the first dimension of tensors, as x.flatten(1) does"
    )


def _image(n_channels: int, size_px: int) -> str:
    return f"an image of {size_px} px with {n_channels} channel{'s' if n_channels != 1 else ''}"


def _way_on(n_channels: int) -> str:
    """How the user says what images a network takes, which did not take those of some channels."""
    if n_channels == COLOURS:
        return "--input-size, --mean and --std say what it takes"
    return (
        "--input-size, --mean and --std say what it takes, such as 3 numbers each where its first "
        "convolution reads more channels than its images have"
    )


def _about_inputs(model: nn.Module) -> str:
    """What is wrong with the number of inputs that a network asks for; empty if it is one."""
    try:
        parameters = inspect.signature(model.forward).parameters.values()
    except (TypeError, ValueError):
        return ""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = [each.name for each in parameters if each.kind in kinds and each.default is each.empty]
    if len(needed) < 2:
        return ""
    return (
        f"it takes {len(needed)} inputs ({', '.join(needed)}); let the function return a module "
        "that takes the image and gives the others itself"
    )


def _about_convolutions(model: nn.Module) -> str:
    """What is wrong with the first convolution of a network for images; empty if nothing is."""
    from torch.nn.modules.conv import _ConvNd

    first = next((each for each in model.modules() if isinstance(each, _ConvNd)), None)
    if first is None or len(first.kernel_size) == 2:
        return ""
    of = "volumes or videos" if len(first.kernel_size) == 3 else "sequences"
    return f"it is a network for {of} ({type(first).__name__}); the atlas draws those for images"


def _where(error: Exception) -> str:
    """The file and line of the network's code in which an error came up, in brackets."""
    import torch

    own = (_PACKAGE, Path(torch.__file__).parent)
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not any(Path(frame.filename).is_relative_to(folder) for folder in own)
    ]
    return f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
