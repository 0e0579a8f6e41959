"""Weights in several files are read as one checkpoint, and nothing outside their folder is."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import safetensors.torch
import torch
from mutated_weights import state_of, tiny_family
from torch import Tensor

from atlas.asked import AtlasSpec
from atlas.errors import NetworkError
from atlas.families import find_family
from atlas.families.torchvision import FINDER
from atlas.network.load import load_network
from atlas.network.network import Network
from atlas.network.source import weights_source

FAMILY = tiny_family(Path("tiny.pth"))
N_PARTS = 3
WRITERS: dict[str, Callable[[dict[str, Tensor], Path], object]] = {
    "model.safetensors": safetensors.torch.save_file,
    "pytorch_model.bin": torch.save,
}


@pytest.fixture(params=WRITERS)
def index(request, tmp_path) -> Path:
    return write_parts(tmp_path, state_of(5), request.param)


def write_parts(folder: Path, state: Mapping[str, Tensor], name: str = "model.safetensors") -> Path:
    """Weights in three files as Hugging Face's libraries write them; returns their index."""
    stem, suffix = name.split(".")
    names = [f"{stem}-{number + 1:05}-of-{N_PARTS:05}.{suffix}" for number in range(N_PARTS)]
    file_names = {key: names[number % N_PARTS] for number, key in enumerate(sorted(state))}
    for each in names:
        WRITERS[name]({key: state[key] for key in state if file_names[key] == each}, folder / each)
    return write_index(folder / f"{name}.index.json", file_names)


def write_index(path: Path, file_names: Mapping[str, object]) -> Path:
    content = {"metadata": {"total_size": 1}, "weight_map": file_names}
    path.write_text(json.dumps(content, indent=2) + "\n")
    return path


def parts_of(index: Path) -> list[Path]:
    return sorted(index.parent.glob("*-of-*"))


def load(path: Path) -> Network:
    return load_network(AtlasSpec(weights=str(path)), FAMILY, [FAMILY])


def source(path: Path | str) -> str | None:
    return weights_source(AtlasSpec(weights=str(path)), FAMILY)


def refusal(path: Path) -> str:
    messages = set()
    for tell in (load, source):
        with pytest.raises(NetworkError) as refused:
            tell(path)
        messages.add(str(refused.value))
    (message,) = messages
    assert "\n" not in message
    return message


def test_the_index_its_folder_and_each_part_stand_for_all_parts(index):
    networks = [load(path) for path in (index, index.parent, *parts_of(index))]
    for network in networks:
        assert network.facts == networks[0].facts
        loaded = network.model.state_dict()
        assert all(torch.equal(loaded[key], value) for key, value in state_of(5).items())
    assert networks[0].facts.weights == index.name
    assert networks[0].facts.classifier.n_units == 5
    assert networks[0].facts.remarks == ()


def test_they_are_identified_by_all_parts_however_they_are_given(index):
    ways = (index, index.parent, *parts_of(index))
    before = {source(path) for path in ways}
    assert len(before) == 1
    seen = {load(index).facts.sha256}
    for number, part in enumerate(parts_of(index)):
        tensors = {key: value + 1 for key, value in state_of(5).items()}
        chosen = sorted(tensors)[number::N_PARTS]
        WRITERS[index.name.removesuffix(".index.json")]({k: tensors[k] for k in chosen}, part)
        assert {source(path) for path in ways}.isdisjoint(before)
        before |= {source(path) for path in ways}
        seen.add(load(index).facts.sha256)
    assert len(before) == len(seen) == 1 + N_PARTS


def test_what_identifies_them_is_known_before_a_network_is_found(index):
    asked = AtlasSpec(family="resnet18", weights=str(index.parent))
    told = weights_source(asked, FINDER)
    assert told == weights_source(AtlasSpec(family="resnet18", weights=str(index)), FINDER)
    assert told == weights_source(asked, find_family("resnet18"))


def test_a_part_may_have_containers_and_what_is_in_two_is_taken_from_where_the_index_says(tmp_path):
    state = state_of(5)
    torch.save({"model": {**state, "fc.bias": state["fc.bias"] + 1}}, tmp_path / "a.bin")
    torch.save({"model": {"fc.bias": state["fc.bias"]}}, tmp_path / "b.bin")
    names = {f"model.{key}": "a.bin" for key in state} | {"model.fc.bias": "b.bin"}
    network = load(write_index(tmp_path / "x.json", names))
    assert torch.equal(network.model.state_dict()["fc.bias"], state["fc.bias"])


def test_missing_parts_are_named(index):
    first, second, third = parts_of(index)
    second.unlink()
    said = f"{index} names {second.name}, which is not beside it; copy or download all parts"
    assert said in refusal(index)
    assert said in refusal(index.parent)
    assert said in refusal(first)
    third.unlink()
    assert f"names {second.name}, {third.name}, which are not beside it;" in refusal(index)


def test_a_damaged_part_is_named(index):
    part = parts_of(index)[1]
    part.write_bytes(part.read_bytes()[:-20])
    with pytest.raises(NetworkError, match=rf"{part.name} is truncated or damaged"):
        load(index)


@pytest.mark.parametrize(
    "name",
    [
        *("../other.safetensors", "sub/x.safetensors", "/etc/passwd", "..", ".", "", "a/", "./a"),
        *("..\\x.safetensors", "C:x.safetensors", "\\\\host\\x", "a\0b", 7, None, ["a"]),
    ],
    ids=repr,
)
def test_no_name_leads_out_of_the_folder_of_the_index(tmp_path, name):
    inside = tmp_path / "inside"
    (inside / "sub").mkdir(parents=True)
    for path in (tmp_path / "other.safetensors", inside / "sub" / "x.safetensors", inside / "a"):
        safetensors.torch.save_file(state_of(5), path)
    index = write_index(inside / "model.safetensors.index.json", {"fc.bias": name})
    assert "which is no file in its own folder; put all parts beside it" in refusal(index)
    assert "no file in its own folder" in refusal(inside)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"weight_map": {"a": "b.bin"', "is a damaged index; copy or download it again"),
        ('{"weight_map": {}}', "names no files of weights; copy or download it again"),
        ('{"weight_map": ["b.bin"]}', "names no files of weights"),
        ('["weight_map"]', "names no files of weights"),
        ('{"a":' * 100_000 + '"weight_map"', "is a damaged index"),
        ('{"config": 1}', "is no weights file"),
        (json.dumps({"weight_map": {f"{n}": f"{n}.bin" for n in range(101)}}), "names 101 files;"),
    ],
    ids=range(7),
)
def test_an_index_that_is_none_is_told(tmp_path, text, words):
    (tmp_path / "x.index.json").write_text(text)
    with pytest.raises(NetworkError) as refused:
        load(tmp_path / "x.index.json")
    assert words in str(refused.value) and "\n" not in str(refused.value)


def test_a_folder_with_two_indexes_does_not_choose(index):
    other = index.with_name("other.index.json")
    other.write_bytes(index.read_bytes())
    said = refusal(index.parent)
    assert "has weights more than once (" in said and other.name in said and index.name in said
    assert load(other).facts.classifier.n_units == 5


def test_an_index_that_names_no_such_part_leaves_the_part_alone(index):
    part = index.with_name("other-00001-of-00002.safetensors")
    safetensors.torch.save_file(state_of(5), part)
    with pytest.raises(NetworkError, match=r"is one of 2 files of weights; put their index"):
        load(part)


def test_a_file_of_all_weights_beside_an_index_is_that_file(index):
    whole = index.with_name("whole.safetensors")
    safetensors.torch.save_file(state_of(4), whole)
    assert load(whole).facts.classifier.n_units == 4
    assert source(whole) != source(index)
