"""The wheel: installed into a fresh environment, it builds a site from any folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
import torch

from atlas import __version__
from atlas.kinds import KINDS

ROOT = Path(__file__).parents[1]
DEMO = ("--demo", "--preset", "preview", "--device", "cpu")
PART = ("--layers", "conv1", "--units", "0-3", "--kinds", "filter,excitatory")
# With this variable the package might be found in the clone instead of where it was installed.
ELSEWHERE = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def run(*command: object, cwd: Path, env: Mapping[str, str] = ELSEWHERE) -> str:
    done = attempt(*command, cwd=cwd, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout


def attempt(
    *command: object, cwd: Path, env: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )


def pip(*arguments: object, cwd: Path) -> str:
    return run(sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments, cwd=cwd)


@dataclass(frozen=True)
class Environment:
    """A fresh environment with the wheel in it, and a folder to work in, with a home."""

    folder: Path
    work: Path
    home: Path

    @property
    def package(self) -> Path:
        (package,) = self.folder.glob("lib/python*/site-packages/atlas")
        return package

    @property
    def variables(self) -> Mapping[str, str]:
        return {**ELSEWHERE, "HOME": str(self.home), "PYTHONDONTWRITEBYTECODE": "1"}

    def run(self, program: str, *arguments: object) -> str:
        command = (self.folder / "bin" / program, *arguments)
        return run(*command, cwd=self.work, env=self.variables)

    def files(self) -> dict[Path, int]:
        paths = (path for folder in (self.folder, self.home) for path in folder.rglob("*"))
        return {path: path.stat().st_mtime_ns for path in paths if path.is_file()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--no-build-isolation", "-w", folder, ROOT, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Environment:
    """What the package needs comes from this environment; a line in a .pth file adds its folders.

    The .pth files in these folders are not read, so that an editable install of the clone is not
    in the fresh environment.
    """
    base = tmp_path_factory.mktemp("installed")
    fresh = Environment(base / "environment", base / "work", base / "home")
    run(sys.executable, "-m", "venv", "--without-pip", fresh.folder, cwd=base)
    target = ("--python", fresh.folder / "bin" / "python")
    pip(*target, "install", "--no-index", "--no-deps", wheel, cwd=base)
    needed = {str(Path(module.__file__).parents[1]) for module in (torch, click)}
    (fresh.package.parent / "needed.pth").write_text("\n".join(needed))
    for folder in (fresh.work, fresh.home):
        folder.mkdir()
    return fresh


@pytest.fixture(scope="module")
def built(installed) -> Path:
    """The site of a part of the demo network; nothing was written outside the working folder."""
    before = installed.files()
    said = installed.run("atlas", *DEMO, *PART)
    assert installed.files() == before
    assert re.search(r"^8 pictures and panels made", said), said
    assert "or run: atlas serve" in said
    return installed.work / "site"


def names_below(*folders: str) -> set[str]:
    """Files in these folders of the clone."""
    return {
        path.relative_to(ROOT).as_posix()
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }


def test_the_wheel_holds_the_package_its_templates_and_static_files(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    beside = {f"atlas/{name}" for name in names_below("templates", "static")}
    assert names == names_below("atlas") | beside
    assert "atlas/py.typed" in names
    for kind in KINDS:
        templates = {path.name for path in kind.folder.glob("*.html")}
        assert {f"atlas/kinds/{kind.name}/{template}" for template in templates} <= names


def test_the_source_archive_is_a_clone_without_what_tests_leave_behind(tmp_path):
    code = "import sys; from hatchling.build import build_sdist; build_sdist(sys.argv[1])"
    run(sys.executable, "-c", code, tmp_path, cwd=ROOT)
    (path,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"build.py", "LICENSE", "README.md", "pyproject.toml", "tests/conftest.py"} <= names
    assert names_below("templates", "static") <= names
    assert "docs/library.md" in names
    assert not [name for name in names if "cache" in Path(name).parent.as_posix()]


def test_the_command_and_the_package_are_those_of_the_fresh_environment(installed):
    assert installed.run("atlas", "--version") == f"atlas, version {__version__}\n"
    assert "\n    atlas --demo  " in installed.run("atlas", "--help")
    where = installed.run("python", "-c", "import atlas; print(atlas.__file__)").strip()
    assert Path(where) == installed.package / "__init__.py"


def test_the_installed_command_builds_a_part_of_the_demo(built):
    pages = {path.relative_to(built).as_posix() for path in built.rglob("*.html")}
    assert {"index.html", "about.html", "conv1/index.html", "conv1/0003.html"} <= pages
    assert (built / "static" / "css" / "atlas.css").stat().st_size > 1000
    page = (built / "conv1" / "0003.html").read_text(encoding="utf-8")
    assert 'src="0003.webp"' in page
    assert (built / "conv1" / "0003.webp").is_file()


def test_a_finished_site_is_found_finished(built, installed):
    assert "0 written" in installed.run("atlas", *DEMO, *PART)


@pytest.mark.parametrize("inside", ["", "site", ".."])
def test_the_installed_package_is_not_written_over(built, installed, inside):
    program = installed.folder / "bin" / "atlas"
    command = (program, *DEMO, *PART, "--out", installed.package / inside)
    refused = attempt(*command, cwd=installed.work, env=installed.variables)
    assert refused.returncode == 2
    assert "holds the program itself" in refused.stderr


def test_the_library_works_there(installed):
    code = (
        "import atlas; network = atlas.open_network('demo', device='cpu');"
        "print(atlas.render(network, 'conv1:1', 'filter')[0].pixels.shape)"
    )
    assert installed.run("python", "-c", code) == "(126, 126, 3)\n"


def test_build_as_a_module_is_the_packaging_tool_of_that_name(tmp_path):
    """In a clone, `python -m build` finds our build.py first."""
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "__init__.py").touch()
    program = "import sys\nprint('the tool', *sys.argv[1:])\n"
    (tmp_path / "build" / "__main__.py").write_text(program)
    env = {**ELSEWHERE, "PYTHONPATH": str(tmp_path)}
    said = run(sys.executable, "-m", "build", "--wheel", cwd=ROOT, env=env)
    assert said == "the tool --wheel\n"


def test_build_as_a_script_is_ours_from_any_folder(tmp_path):
    said = run(sys.executable, ROOT / "build.py", "--version", cwd=tmp_path)
    assert said == f"atlas, version {__version__}\n"
