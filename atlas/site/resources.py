"""Where the pages' templates and static files are: in a clone, or in the installed package."""

from __future__ import annotations

from pathlib import Path

PACKAGE_DIR = Path(__file__).resolve().parents[1]
# In a clone they lie beside the package; a wheel has them inside it.
IS_CLONE = not (PACKAGE_DIR / "templates").is_dir()
_FOLDER = PACKAGE_DIR.parent if IS_CLONE else PACKAGE_DIR
TEMPLATES_DIR = _FOLDER / "templates"
STATIC_DIR = _FOLDER / "static"


def holds_program(folder: Path) -> bool:
    """Whether a site in a folder would lie among the program's own files.

    In a clone that is the clone, every folder that it is in, and what the package is made of; for
    an installed package the package and the folder that it is installed in.

    Args:
        folder: an absolute path without symbolic links.
    """
    around = (_FOLDER, *_FOLDER.parents) if IS_CLONE else (PACKAGE_DIR.parent,)
    inside = (PACKAGE_DIR, TEMPLATES_DIR, STATIC_DIR)
    return folder in around or any(folder.is_relative_to(own) for own in inside)
