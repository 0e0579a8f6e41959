"""What imports what: torch is there only where something is made, and no module imports back."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "atlas"
HEAVY = {"torch", "torchvision"}


def modules(*patterns: str) -> list[str]:
    """Dotted names of the modules that match, without those that run something when imported."""
    paths = (path for pattern in patterns for path in PACKAGE.glob(pattern))
    names = (path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".") for path in paths)
    return sorted(name.removesuffix(".__init__") for name in names)


def test_nothing_but_making_imports_torch():
    shown = modules("site/*.py", "kinds/*.py", "kinds/*/__init__.py", "kinds/*/view.py")
    shown += modules("on_demand/*.py", "on_demand/*/__init__.py", "on_demand/*/view.py")
    shown += modules("comparing/c*.py", "comparing/*page*.py", "comparing/ranking.py")
    others = ["atlas.command", "atlas.pipeline", "atlas.plan", "atlas.families", "atlas.cache"]
    assert len(shown) > 40
    code = f"import importlib, sys\nfor name in {shown + others}: importlib.import_module(name)\n"
    code += f"print(sorted({HEAVY} & sys.modules.keys()))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def imported_by(path: Path, package: str = "atlas") -> set[str]:
    """Modules of a package that a module imports when it is itself imported."""
    names: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
    return {name for name in names if name.startswith(package)}


def test_ray_is_imported_only_where_workers_are_started():
    assert not [path for path in PACKAGE.rglob("*.py") if imported_by(path, "ray")]


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("pictures/*.py", ("atlas.cache", "atlas.engine", "atlas.site", "atlas.pipeline")),
        ("network/*.py", ("atlas.kinds", "atlas.plan", "atlas.cache", "atlas.site")),
        ("families/**/*.py", ("atlas.network", "atlas.kinds", "atlas.site")),
        ("kinds/*/__init__.py", ("atlas.plan", "atlas.engine", "atlas.site", "atlas.pictures")),
        ("site/*.py", ("atlas.engine", "atlas.renderer", "atlas.pictures", "atlas.pipeline")),
        ("cluster/scheduling.py", ("atlas.engine", "atlas.renderer", "atlas.cache")),
        ("cluster/*.py", ("atlas.pipeline", "atlas.site")),
        ("plan.py", ("atlas.engine", "atlas.renderer", "atlas.site", "atlas.pipeline")),
    ],
)
def test_modules_import_from_their_left_only(left, right):
    for path in PACKAGE.glob(left):
        back = [name for name in imported_by(path) if name.startswith(right)]
        assert not back, (path, back)


@pytest.mark.parametrize("folder", ["tests", "docs"])
def test_scripts_that_no_test_runs_import_what_there_is(folder: str):
    for path in (ROOT / folder).rglob("*.py"):
        imports = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        names = {node.module for node in imports if isinstance(node, ast.ImportFrom)}
        own = {name for name in names if name and name.split(".")[0] == "atlas"}
        assert not [name for name in own if not importlib.util.find_spec(name)], path


def test_torchvision_is_imported_only_where_its_networks_are_looked_for():
    """Importing it takes a third of a second; most networks are read without it."""
    at_once = {path.stem: imported_by(path, "torchvision") for path in PACKAGE.rglob("*.py")}
    assert [name for name, names in at_once.items() if names] == ["recognition"]
    recogniser = "atlas.network.recognition"
    assert not [path for path in PACKAGE.rglob("*.py") if recogniser in imported_by(path)]
