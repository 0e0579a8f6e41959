"""Fine-tunes the demo network in seconds: `python tests/fine_tuning.py OUT`.

The labels are rotated by one, so that each class has to be learned anew. Only some units of one
layer are trained if they are named, and everything else stays as it is to the last bit.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

from atlas.families.demo import WEIGHTS_PATH
from atlas.families.demo.drawings import DRAWINGS, draw_batch
from atlas.families.demo.network import build_demo
from atlas.families.demo.train import normalise, to_tensors


def fine_tune(
    path: Path, layer: str = "", units: Sequence[int] = (), n_steps: int = 12, lr: float = 0.006
) -> Path:
    """Write fine-tuned weights of the demo network.

    Args:
        path: file to write.
        layer: the only layer whose weights are trained; empty for all parameters.
        units: the only units of it that are trained.
        n_steps: steps of Adam on 32 new drawings each.
        lr: learning rate.
    """
    model = build_demo(len(DRAWINGS))
    model.load_state_dict(load_file(WEIGHTS_PATH))
    model.eval()  # the statistics of BatchNorm stay as they are
    parameters = [model.get_submodule(layer).weight] if layer else list(model.parameters())
    optimizer = torch.optim.Adam(parameters, lr)
    rng = np.random.default_rng(1)
    for _ in range(n_steps):
        images, labels = to_tensors(*draw_batch(rng, 32))
        loss = F.cross_entropy(model(normalise(images)), (labels + 1) % len(DRAWINGS))
        optimizer.zero_grad()
        loss.backward()
        if layer:
            _keep_rows(parameters[0], units)
        optimizer.step()
    save_file({key: tensor.contiguous() for key, tensor in model.state_dict().items()}, path)
    return path


def _keep_rows(weight: nn.Parameter, units: Sequence[int]) -> None:
    """Set the gradient of all other units to zero; Adam does not move what never had one."""
    mask = torch.zeros(len(weight), *[1] * (weight.ndim - 1))
    mask[list(units)] = 1
    assert weight.grad is not None
    weight.grad *= mask


if __name__ == "__main__":
    fine_tune(Path(sys.argv[1]))
