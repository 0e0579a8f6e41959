"""Digests that identify a network: of its tensors, and of what its code does with them.

Code can be changed in any file, and may keep functions that none of its text shows. So what it does
is found by tracing it and by running it: the operations of its graph with their constants, and its
answers to fixed images. The images are computed in float64 on the CPU and the answers are rounded
to far fewer digits, so that neither the device nor PyTorch's version changes the digest.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves

from atlas.errors import NetworkError
from atlas.families.modules import copied
from atlas.memory import is_out_of_memory
from atlas.network.tracing import LAYERS, trace

SEED = 0
BLOCK_PX = 16  # of the coarse pattern in the images
# The images' largest values, in standard deviations: usual, and where limits such as ReLU6's show.
AMPLITUDES = (2.0, 200.0)
DIGITS = {torch.float64: 4, torch.float32: 1}  # that answers are rounded to
NOTHING = 1e-9  # a root mean square that is taken as zero
_PLAIN = (int, float, complex, str, type(None), type(...), torch.dtype)


def state_sha256(model: nn.Module) -> str:
    """The SHA-256 digest of the names, types, shapes and numbers of all tensors."""
    digest = hashlib.sha256()
    for key, tensor in model.state_dict().items():
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def computation_sha256(model: nn.Module, n_channels: int, size_px: int) -> str:
    """The SHA-256 digest of what a network computes from images of a size.

    Args:
        model: a network in evaluation mode; it is left as it is.
        n_channels: channels of the images.
        size_px: their side.
    """
    lines = [*_operations(model, n_channels, size_px), *_answers(model, n_channels, size_px)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


# Operations


def _operations(model: nn.Module, n_channels: int, size_px: int) -> list[str]:
    """The operations of the graph and their constants; none if torch.fx cannot trace the network.

    Devices are not among the constants.
    """
    try:
        nodes = list(trace(model, n_channels, size_px).graph.nodes)
    except NetworkError:
        return []
    numbers = {node: number for number, node in enumerate(nodes)}
    return [_operation(node, numbers) for node in nodes]


def _operation(node: fx.Node, numbers: dict[fx.Node, int]) -> str:
    given = fx.node.map_arg((node.args, node.kwargs), lambda each: f"%{numbers[each]}")
    return f"{node.op} {_name(node.target)} {_plain(given)}"


def _name(target: Any) -> str:
    return target if isinstance(target, str) else getattr(target, "__name__", str(type(target)))


def _plain(value: Any) -> str:
    """A constant in words that are the same in every process."""
    if isinstance(value, slice):
        return f"slice{_plain((value.start, value.stop, value.step))}"
    if isinstance(value, dict):
        return _plain(list(value.items()))
    if isinstance(value, tuple | list):
        return f"({', '.join(map(_plain, value))})"
    return repr(value) if isinstance(value, _PLAIN) else type(value).__name__


# Answers


def _answers(model: nn.Module, n_channels: int, size_px: int) -> list[str]:
    """What layers and network answer to the images, rounded; in float32 if it refuses float64.

    None if its code does not run on the CPU.
    """
    for dtype, n_digits in DIGITS.items():
        try:
            answers = _computed(copied(model).to("cpu", dtype), n_channels, size_px, dtype)
        except Exception as error:  # the network's own code
            if is_out_of_memory(error):
                raise
            continue
        return [_rounded(answer, n_digits) for answer in answers]
    return []


@torch.no_grad()
def _computed(
    model: nn.Module, n_channels: int, size_px: int, dtype: torch.dtype
) -> Sequence[Tensor]:
    """The outputs of all layers, in the order of their calls, and the network's, in float64."""
    answers: list[Tensor] = []

    def keep(output: Any) -> None:
        tensors = (each for each in tree_leaves(output) if isinstance(each, Tensor))
        answers.extend(_summary(tensor) for tensor in tensors)

    for module in model.modules():
        if isinstance(module, LAYERS):
            module.register_forward_hook(lambda _module, _inputs, output: keep(output))
    with _default_dtype(dtype), torch.random.fork_rng(devices=[]):
        for image in _images(n_channels, size_px):
            torch.manual_seed(SEED)  # for code that draws numbers
            keep(model(image.to(dtype)))
    return answers


def _images(n_channels: int, size_px: int) -> Iterator[Tensor]:
    """Images (1, n_channels, size_px, size_px) of blocks and noise, of all amplitudes."""
    random = np.random.RandomState(SEED)  # whose numbers never change
    n_blocks = -(-size_px // BLOCK_PX)
    blocks = random.uniform(-0.5, 0.5, (1, n_channels, n_blocks, n_blocks))
    coarse = blocks.repeat(BLOCK_PX, 2).repeat(BLOCK_PX, 3)[..., :size_px, :size_px]
    pattern = torch.from_numpy(coarse + random.uniform(-0.5, 0.5, coarse.shape))
    return (pattern * amplitude for amplitude in AMPLITUDES)


def _summary(tensor: Tensor) -> Tensor:
    """The root mean square of a tensor, and in units of it a sum weighted by position, (2,)."""
    values = tensor.detach().double().flatten()
    rms = values.square().mean().sqrt()
    waves = torch.cos(torch.arange(len(values), dtype=torch.float64) * 2**0.5)
    spread = (values / rms * waves).mean() * len(values) ** 0.5
    return torch.stack([rms, spread])


def _rounded(summary: Tensor, n_digits: int) -> str:
    rms, spread = summary.tolist()
    if rms < NOTHING:
        return "0"
    return f"{rms:.{n_digits}e} {round(spread, n_digits) + 0.0}"  # no negative zero


@contextlib.contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Lets tensors that a network's code makes have the type of its weights."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
