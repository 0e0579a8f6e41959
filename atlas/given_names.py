"""Names that a user gives to units by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from atlas.errors import SpecError
from atlas.files import open_regular
from atlas.text import displayable
from atlas.units import NetworkFacts

MAX_BYTES = 20_000_000
MAX_LENGTH = 200  # characters of a name
EXAMPLE = '{"layer3.2.conv2:17": "curves"}'


def read_names(path: Path, facts: NetworkFacts) -> Mapping[str, str]:
    """The names in a file, by the ids of their units.

    The file is a JSON object from ids of units, such as "layer3.2.conv2:17", to names. Names are
    cleaned of what cannot be shown.

    Raises:
        SpecError: the file cannot be read, names a unit that the network does not have, or has a
            name without text.
    """
    given = _object_in(path)
    known = {unit.id for layer in facts.layers for unit in layer.units}
    return {unit_id: _checked(path, unit_id, name, known) for unit_id, name in given.items()}


def _object_in(path: Path) -> dict[str, Any]:
    try:
        with open_regular(path, MAX_BYTES) as file:
            data = json.loads(file.read(MAX_BYTES + 1).decode("utf-8-sig"))
    except OSError as error:
        raise _error(path, f"{error.strerror or error}; give a JSON file") from error
    except (ValueError, RecursionError) as error:  # no UTF-8, no JSON, too deep
        cause = displayable(str(error), 80)
        raise _error(path, f"it is no JSON ({cause}); write it like {EXAMPLE}") from error
    if not isinstance(data, dict):
        raise _error(path, f"it is no JSON object; write it like {EXAMPLE}")
    return data


def _checked(path: Path, unit_id: str, name: Any, known: set[str]) -> str:
    shown = displayable(unit_id, 80)
    if unit_id not in known:
        raise _error(
            path, f"there is no unit {shown!r}; give a layer and a number, as in {EXAMPLE}"
        )
    text = displayable(name, MAX_LENGTH) if isinstance(name, str) else ""
    if not text:
        raise _error(path, f"the name of {shown} is no text; write it like {EXAMPLE}")
    return text


def _error(path: Path, cause: str) -> SpecError:
    return SpecError(f"cannot read the names of {displayable(str(path))}: {cause}")
