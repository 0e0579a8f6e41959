"""Which units feed a unit and which it feeds, from the weights alone."""

from __future__ import annotations

from collections.abc import Sequence

from atlas.network import Network
from atlas.panels.panel import Panel
from atlas.spec import Circuit
from atlas.units import Layer


def circuit_panels(network: Network, layers: Sequence[Layer], spec: Circuit) -> list[Panel]:
    """For each of these layers, the strongest inputs and outputs of every unit."""
    raise NotImplementedError
