"""Records are the same when they were written as JSON and read again."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from atlas.kinds import KINDS
from atlas.kinds.excitatory import ExcitatoryRecord
from atlas.kinds.filter import FilterRecord
from atlas.kinds.kind import Kind, WholeLayer
from atlas.kinds.natural import NaturalRecord
from atlas.kinds.noise import NoiseRecord
from atlas.on_demand.like import LikeRecord
from atlas.records import (
    axis,
    fields_of,
    from_json,
    has_units,
    internal,
    per_unit,
    published,
    to_json,
    to_numbers,
    value,
)

SCORES = ("z", "mean", "logit")
TYPES = [*(kind.record for kind in KINDS), LikeRecord]

every_type = pytest.mark.parametrize("record_type", TYPES, ids=lambda each: each.__name__)
every_score = pytest.mark.parametrize("score", SCORES)


@dataclass(frozen=True)
class Lengths:
    """Numbers of a layer of two units, published in every way."""

    ends: Sequence[str] = axis("names of `mean` and `longest`")
    unit: str = value("what lengths are counted in")
    longest: Sequence[float] = per_unit("the longest", "{score}_longest")
    shortest: Sequence[float] | None = per_unit("the shortest", default=None)
    seed: int = internal("what it was made from", default=7)


LENGTHS = Lengths(["first", "last"], "mm", [2.5, 4.5], seed=3)


def full(record_type: type):
    """A record with another value in each field."""
    fields = dataclasses.fields(record_type)
    return record_type(**{each.name: [nth + 0.5, "é"] for nth, each in enumerate(fields)})


@every_score
@every_type
def test_a_record_with_every_field_given_is_read_as_it_was_written(record_type, score):
    record = full(record_type)
    text = to_json(record, score)
    assert from_json(record_type, text, score) == record
    assert len(json.loads(text)) == len(fields_of(record_type))  # no name stands for two


@every_score
@every_type
def test_a_record_with_required_fields_alone_is_read_as_it_was_written(record_type, score):
    required = [
        each.name for each in dataclasses.fields(record_type) if each.default is dataclasses.MISSING
    ]
    record = record_type(**dict.fromkeys(required, 1))
    text = to_json(record, score)
    assert len(json.loads(text)) == len(required)
    assert from_json(record_type, text, score) == record


@every_type
def test_every_field_says_what_it_is(record_type):
    for info in fields_of(record_type):
        assert info.about and info.publication in ("value", "per_unit", "axis", "internal")


def test_fields_at_their_default_are_left_out():
    assert to_json(ExcitatoryRecord(), "z") == "{}"
    assert to_numbers(ExcitatoryRecord(score=0.0, dead=False, rank=0), "z") == {"z": 0.0, "rank": 0}
    assert to_numbers(FilterRecord("bars", n_inputs=4), "z") == {"style": "bars", "n_inputs": 4}


@pytest.mark.parametrize("score", SCORES)
def test_names_follow_the_score_of_the_layer(score):
    picture = ExcitatoryRecord(score=1.0, highest=2.0, lowest=0.5, start=0.1)
    assert to_numbers(picture, score) == {
        score: 1.0,
        f"{score}_max": 2.0,
        f"{score}_min": 0.5,
        f"{score}_start": 0.1,
    }
    noise = NoiseRecord(16, [1.0], [2.0], [0.5])
    expected = {"n_images": 16, score: [1.0], f"{score}_max": [2.0], f"{score}_min": [0.5]}
    assert to_numbers(noise, score) == expected


def test_names_in_json_stay_what_they_were_where_fields_are_called_otherwise():
    record = NaturalRecord(
        1, 0, [], 2, "f" * 64, highest=[5.0], highest_file=["a.jpg"], favourite=[1]
    )
    numbers = to_numbers(record, "z")
    assert (numbers["folder_sha256"], numbers["class"]) == ("f" * 64, [1])
    assert (numbers["z_max"], numbers["highest"]) == ([5.0], ["a.jpg"])


def test_a_record_of_another_score_is_not_mistaken():
    text = to_json(ExcitatoryRecord(score=1.0, rank=3), "z")
    assert from_json(ExcitatoryRecord, text, "logit") == ExcitatoryRecord(rank=3)


def test_names_that_a_type_does_not_have_are_ignored():
    text = json.dumps({"z": 1.5, "sharpness": 3, "score": 9.0, "highest": 8.0})
    assert from_json(ExcitatoryRecord, text, "z") == ExcitatoryRecord(score=1.5)


def test_a_record_without_a_required_field_is_refused():
    with pytest.raises(TypeError, match="n_images"):
        from_json(NoiseRecord, '{"z":[1.0],"z_max":[1.0],"z_min":[1.0]}', "z")
    with pytest.raises(ValueError):
        from_json(NoiseRecord, "no JSON", "z")


def test_json_is_canonical():
    assert to_json(LENGTHS, "z") == (
        '{"ends":["first","last"],"seed":3,"unit":"mm","z_longest":[2.5,4.5]}'
    )


def test_numbers_are_published_as_their_fields_say():
    assert published(LENGTHS, "z", "value") == {"unit": "mm"}
    assert published(LENGTHS, "mean", "per_unit") == {"mean_longest": [2.5, 4.5]}
    assert published(LENGTHS, "z", "axis") == {"ends": ["first", "last"]}
    assert published(LENGTHS, "z", "value", "axis") == {"ends": ["first", "last"], "unit": "mm"}
    assert published(LENGTHS, "z", "internal") == {"seed": 3}
    assert published(LENGTHS, "z") == {}


def test_a_number_that_some_records_lack_is_published_where_it_is_there():
    assert published(LENGTHS, "logit", "per_unit") == {"logit_longest": [2.5, 4.5]}
    both = dataclasses.replace(LENGTHS, shortest=[0.5, 1.5])
    columns = {"z_longest": [2.5, 4.5], "shortest": [0.5, 1.5]}
    assert published(both, "z", "per_unit") == columns


def test_types_know_whether_they_hold_numbers_of_units():
    assert has_units(Lengths) and has_units(NoiseRecord)
    assert not has_units(ExcitatoryRecord)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_numbers_of_units_are_in_records_of_whole_layers_alone(kind: Kind):
    assert not has_units(kind.record) or isinstance(kind.scope, WholeLayer)
