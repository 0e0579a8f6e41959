"""Weights in several files, and the index that says which tensor is in which of them.

Source of the format, as Hugging Face's libraries write it:
https://huggingface.co/docs/transformers/big_models
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from atlas.digest import MAX_WEIGHTS_BYTES
from atlas.errors import NetworkError
from atlas.files import is_folder, is_regular, is_there, open_regular
from atlas.network.foreign import about_part, few
from atlas.text import displayable

ENDING = ".index.json"
MAP = "weight_map"  # what tells an index from other JSON
MAX_INDEX_BYTES = 32 << 20
MAX_PARTS = 100  # which are open at the same time


@dataclass(frozen=True)
class Index:
    """The index of weights in several files, all of which are in its folder.

    Attributes:
        path: of the index.
        file_names: names of the files by the keys of the tensors in them.
    """

    path: Path
    file_names: Mapping[str, str]

    @property
    def parts(self) -> tuple[Path, ...]:
        """The files that have the tensors."""
        return tuple(self.path.parent / name for name in sorted({*self.file_names.values()}))


def find_index(path: Path) -> Index | None:
    """The index of the weights that a path stands for; None if it stands for itself.

    That is an index, a folder with one, or a file that is called one of several and is named by an
    index beside it.

    Raises:
        NetworkError: an index cannot be read, or names files that are not beside it.
    """
    if is_regular(path):
        if not about_part(path.name):
            return _checked(_read(path))
        beside = [index for index in _indexes_in(path.parent) if path in index.parts]
        return _checked(beside[0] if beside else None)
    inside = _indexes_in(path) if is_folder(path) else []
    if len(inside) > 1:
        names = few([index.path.name for index in inside])
        raise NetworkError(f"{path} has weights more than once ({names}); give one of these files")
    return _checked(inside[0] if inside else None)


def _indexes_in(folder: Path) -> list[Index]:
    try:
        paths = sorted(path for path in folder.iterdir() if path.name.endswith(ENDING))
    except OSError as error:
        raise NetworkError.unreadable(folder, error) from error
    return [index for path in paths if is_regular(path) and (index := _read(path))]


def _read(path: Path) -> Index | None:
    """The index in a file; None if it is no JSON with one.

    Raises:
        NetworkError: it cannot be read, is damaged, or does not say which file has which tensor.
    """
    try:
        with open_regular(path, MAX_WEIGHTS_BYTES) as file:
            is_json = path.name.endswith(ENDING) or file.read(1) == b"{"
            file.seek(0)
            text = file.read(MAX_INDEX_BYTES) if is_json else b""
    except OSError as error:
        raise NetworkError.unreadable(path, error) from error
    if f'"{MAP}"'.encode() not in text:
        return None
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        if not path.name.endswith(ENDING):  # a weights file may begin with any byte
            return None
        raise NetworkError(f"{path} is a damaged index; copy or download it again") from error
    return Index(path, _file_names(path, content))


def _file_names(path: Path, content: Any) -> dict[str, str]:
    names = content.get(MAP) if isinstance(content, dict) else None
    if not isinstance(names, dict) or not names:
        raise NetworkError(f"{path} names no files of weights; copy or download it again")
    for name in names.values():
        if not isinstance(name, str) or not _is_file_name(name):
            raise NetworkError(
                f"{path} names {displayable(repr(name), 60)}, which is no file in its own folder; "
                "put all parts beside it, and name them so"
            )
    return names


def _is_file_name(name: str) -> bool:
    """Whether a name is that of a file, on every system, and leads to no other folder."""
    parts = (PurePosixPath(name).parts, PureWindowsPath(name).parts)
    return name not in ("", ".", "..") and "\0" not in name and parts == ((name,), (name,))


def _checked(index: Index | None) -> Index | None:
    """The same index.

    Raises:
        NetworkError: it names too many files, or some that are not there.
    """
    if index is None:
        return None
    if len(index.parts) > MAX_PARTS:
        raise NetworkError(
            f"{index.path} names {len(index.parts):,} files; give weights in at most {MAX_PARTS}"
        )
    if missing := [part.name for part in index.parts if not is_there(part)]:
        raise NetworkError(
            f"{index.path} names {few(missing)}, which {'is' if len(missing) == 1 else 'are'} not "
            "beside it; copy or download all parts into its folder"
        )
    return index
