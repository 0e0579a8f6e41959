"""What is made when somebody asks for it, with a page of its own: one folder for each kind."""

from __future__ import annotations

from typing import Any

from atlas.on_demand import caricature, like, mix, variants
from atlas.on_demand.page import OnDemand, Page, pages_of

__all__ = ["ON_DEMAND", "OnDemand", "Page", "pages_of"]

ON_DEMAND: tuple[OnDemand[Any], ...] = (like.KIND, caricature.KIND, mix.KIND, variants.KIND)
