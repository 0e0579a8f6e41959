"""Gradients through a network's own code, also where it computes without them."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


def gradients_let_through() -> AbstractContextManager[object]:
    """A context in which code does not turn gradients off.

    `no_grad()` has no effect, as it has none in a network that torch.fx traces. Arrays of NumPy can
    be made of tensors with a gradient; they have none.
    """
    return _LetThrough()


class _LetThrough(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch._C._set_grad_enabled:
            return None
        if func in (Tensor.numpy, Tensor.__array__):
            args = (args[0].detach(), *args[1:])
        return func(*args, **(kwargs or {}))
