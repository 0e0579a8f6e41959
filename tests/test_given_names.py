"""Names that a user gives to units: what is read, and what is refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
import site_factory

from atlas.errors import SpecError
from atlas.given_names import read_names

FACTS = site_factory.network()


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "names.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_names_are_given_to_units_and_classes(tmp_path):
    path = written(tmp_path, '\ufeff{"conv1:3": " curve\\n detector ", "fc:0": "Éclair"}')
    assert read_names(path, FACTS) == {"conv1:3": "curve detector", "fc:0": "Éclair"}
    assert read_names(written(tmp_path, "{}"), FACTS) == {}


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "it is no JSON"),
        ("{'conv1:3': 1}", "it is no JSON"),
        (b"\xff\xfe\x00", "it is no JSON"),
        ("[" * 100_000, "it is no JSON"),
        ('["curves"]', "it is no JSON object"),
        ('{"conv1:999": "curves"}', "there is no unit 'conv1:999'"),
        ('{"conv1": "curves"}', "there is no unit 'conv1'"),
        ('{"conv1:3": ""}', "the name of conv1:3 is no text"),
        ('{"conv1:3": "\\u202e\\u0007"}', "the name of conv1:3 is no text"),
        ('{"conv1:3": ["curves"]}', "the name of conv1:3 is no text"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_with_the_remedy(tmp_path, text, cause):
    with pytest.raises(SpecError, match="cannot read the names of") as refused:
        read_names(written(tmp_path, text), FACTS)
    words = str(refused.value)
    assert cause in words and "curves" in words and "\n" not in words and len(words) < 400


def test_a_file_that_is_missing_is_said(tmp_path):
    with pytest.raises(SpecError, match=r"No such file.*give a JSON file"):
        read_names(tmp_path / "none.json", FACTS)
    with pytest.raises(SpecError, match="cannot read the names of"):
        read_names(tmp_path, FACTS)
