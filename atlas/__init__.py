"""The atlas of a convolutional network: what each unit is, and what it wants to see.

The names below are loaded when they are used, so importing this package imports no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from atlas.asked import AtlasSpec, Preparation, Selection
    from atlas.catalogue import Catalogue
    from atlas.errors import AtlasError
    from atlas.families import FAMILIES
    from atlas.families.family import Family
    from atlas.kinds import KINDS
    from atlas.kinds.kind import Kind
    from atlas.library import Pictures, RenderedPicture, open_network, render
    from atlas.network.network import Network
    from atlas.pipeline import Atlas, BuildReport
    from atlas.places import Places
    from atlas.units import Layer, Unit

__version__ = "0.1.0"
__all__ = [
    "FAMILIES",
    "KINDS",
    "Atlas",
    "AtlasError",
    "AtlasSpec",
    "BuildReport",
    "Catalogue",
    "Family",
    "Kind",
    "Layer",
    "Network",
    "Pictures",
    "Places",
    "Preparation",
    "RenderedPicture",
    "Selection",
    "Unit",
    "open_network",
    "render",
]

if not TYPE_CHECKING:  # type checkers would take any name for one of this package
    _MODULES = {
        "FAMILIES": "atlas.families",
        "KINDS": "atlas.kinds",
        "Atlas": "atlas.pipeline",
        "AtlasError": "atlas.errors",
        "AtlasSpec": "atlas.asked",
        "BuildReport": "atlas.pipeline",
        "Catalogue": "atlas.catalogue",
        "Family": "atlas.families.family",
        "Kind": "atlas.kinds.kind",
        "Layer": "atlas.units",
        "Network": "atlas.network.network",
        "Pictures": "atlas.library",
        "Places": "atlas.places",
        "Preparation": "atlas.asked",
        "RenderedPicture": "atlas.library",
        "Selection": "atlas.asked",
        "Unit": "atlas.units",
        "open_network": "atlas.library",
        "render": "atlas.library",
    }

    def __getattr__(name):
        """One of the names of `__all__`, from its module."""
        import importlib

        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(_MODULES[name]), name)
        globals()[name] = value
        return value

    def __dir__():
        """Also what is not loaded yet."""
        return sorted({*globals(), *__all__})
