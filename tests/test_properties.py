"""What holds for all ids, paths, selections and texts, whatever is in them (with Hypothesis)."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from atlas import paths
from atlas.asked import Selection
from atlas.errors import SpecError
from atlas.labels import class_names, read_labels
from atlas.selection import parse_ranges, select_units
from atlas.text import displayable, displayable_name, unique
from atlas.units import Unit

settings.register_profile(
    "atlas",
    database=None,
    deadline=None,
    derandomize=True,
    max_examples=200,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
settings.load_profile("atlas")

# Any code points at all, lone surrogates among them.
ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=80)
LAYER_NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,8}(\.[a-z0-9_]{1,8}){0,3}", fullmatch=True)


def is_harmless(text: str) -> bool:
    """Whether a text is one line that can be encoded, and controls no terminal."""
    text.encode("utf-8")
    return not any(unicodedata.category(each) in {"Cc", "Cs", "Zl", "Zp"} for each in text)


@given(ANY_TEXT)
def test_texts_are_one_harmless_line_and_cleaning_twice_changes_nothing(text):
    for clean in (displayable, displayable_name):
        assert is_harmless(clean(text))
        assert clean(clean(text)) == clean(text)
        assert json.loads(json.dumps(clean(text), ensure_ascii=False)) == clean(text)


@given(st.lists(ANY_TEXT, max_size=12))
def test_names_made_unique_are_and_keep_their_beginning(names):
    made = unique(names)
    assert len(set(made)) == len(made) == len(names)
    assert all(after.startswith(before) for before, after in zip(names, made, strict=True))


@given(LAYER_NAMES, st.integers(0, 10**7 - 1))
def test_each_unit_has_a_page_of_its_own_that_counts_as_ours(layer, index):
    unit = Unit(layer, index)
    for path in (paths.unit_page(unit), paths.unit_picture(unit)):
        assert int(path.partition("/")[2].partition(".")[0]) == index
        if paths.is_safe(layer):
            assert paths.is_safe(path) and paths.is_ours(path)


@given(ANY_TEXT)
def test_no_path_that_is_safe_leaves_the_site(tmp_path, text):
    if paths.is_safe(text):
        assert (tmp_path / text).resolve().is_relative_to(tmp_path.resolve())
        assert (tmp_path / text).resolve() != tmp_path.resolve()


@given(ANY_TEXT, st.binary(min_size=32, max_size=32))
def test_the_page_of_a_photograph_is_ours_whatever_its_name(stem, digest):
    slug = paths.slug(stem, digest.hex())
    assert slug.endswith(digest.hex()[:8])
    for folder in paths.ON_DEMAND_DIRS:
        assert paths.is_ours(paths.on_demand_page(folder, slug))
        assert paths.is_ours(paths.on_demand_picture(folder, slug))


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 50)), min_size=1, max_size=6))
def test_ranges_are_read_as_they_are_written(parts):
    text = ", ".join(f"{first}-{first + more}" if more else f"{first}" for first, more in parts)
    assert parse_ranges(text) == tuple(range(first, first + more + 1) for first, more in parts)


@given(ANY_TEXT)
def test_ranges_are_read_or_refused_in_one_line(text):
    try:
        assert parse_ranges(text)
    except SpecError as error:
        assert is_harmless(displayable(str(error)))


@given(layers=ANY_TEXT, classes=ANY_TEXT)
def test_selections_are_in_order_without_doubles_or_refused(planted, layers, classes):
    facts = planted.facts
    selection = Selection(layers=(layers,) if layers else (), classes=(classes,) if classes else ())
    try:
        units = select_units(selection, facts)
    except SpecError:
        return
    positions = [(facts.layer(unit.layer).index, unit.index) for unit in units]
    assert positions == sorted(set(positions))


@given(st.lists(ANY_TEXT, min_size=3, max_size=3))
def test_labels_are_read_or_refused_in_one_line(tmp_path, labels):
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(labels), encoding="utf-8")
    if all(displayable(label) for label in labels):
        read = read_labels(path, 3)
        assert all(is_harmless(name) and name for name in read.names)
        assert len(read.names) == 3
    else:
        with pytest.raises(SpecError, match="is empty or no text"):
            read_labels(path, 3)


@given(st.lists(st.sampled_from(["cat", "Tench, fish", "dog", "dog, hound"]), unique=True))
def test_folders_named_as_labels_are_matched_in_any_order(folders):
    labels = ("dog", "cat", "tench, fish")
    matched = class_names(folders, labels)
    by_name = {"cat": "cat", "Tench, fish": "tench, fish", "dog": "dog", "dog, hound": "dog, hound"}
    assert matched == tuple(by_name[folder] for folder in folders)
