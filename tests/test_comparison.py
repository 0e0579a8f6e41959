"""The command `compare`: a fine-tuned network whose changed units are known, from end to end."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import shutil
import sqlite3
from pathlib import Path
from types import SimpleNamespace

import pytest
import site_factory
import torch
from fine_tuning import fine_tune
from PIL import Image
from safetensors.torch import load_file, save_file
from site_reader import broken_links, read_pages, resolve
from test_command import ROOT, WITHOUT_TORCH, Folders, assert_refused, run, start

import atlas.comparing.answers
from atlas.asked import AtlasSpec, Selection
from atlas.cache import FILE_NAME, Artifact, Cache
from atlas.comparing.classes import Classes
from atlas.comparing.comparison import (
    Comparison,
    Ranking,
    shared_layers,
    stored_pictures,
    with_weights,
)
from atlas.errors import SpecError
from atlas.families import find_family
from atlas.families.demo import WEIGHTS_PATH
from atlas.places import Places
from atlas.plan import make_plan

DEMO = ("--demo", "--preset", "preview", "--device", "cpu")
LAYER, TRAINED = "layer2.0.conv2", (3, 7, 11)


def asked(*layers: str) -> AtlasSpec:
    return AtlasSpec("demo", preset="preview", selection=Selection(layers=layers))


def places(folder: Path) -> Places:
    return Places(folder / "site", folder / "cache", "cpu")


def compared(folder: Path, weights: Path, *layers: str, n_pictured: int = 0) -> Ranking:
    names = (str(WEIGHTS_PATH), str(weights))
    with Comparison(asked(*layers), names, places(folder), n_pictured) as comparison:
        return comparison.ranking()


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo network, of which only three units of one layer were trained further."""
    return fine_tune(tmp_path_factory.mktemp("tuned") / "tuned.safetensors", LAYER, TRAINED)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, tuned: Path) -> tuple[Folders, str]:
    """The comparison's site of the whole network, and what the command printed."""
    folder = tmp_path_factory.mktemp("compared")
    folders = Folders(folder / "site", folder / "cache")
    result = run("compare", "demo", tuned, *DEMO, "--pictured", "4", *folders.options)
    assert result.code == 0, result.err
    return folders, result.out


def read(folders: Folders, path: str) -> str:
    return (folders.out / path).read_text(encoding="utf-8")


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))


def test_exactly_the_trained_units_are_found(tmp_path: Path, tuned: Path):
    ranking = compared(tmp_path, tuned)
    by_name = {change.layer.name: change for change in ranking.layers}
    names = list(by_name)
    for name in names[: names.index(LAYER)]:
        assert by_name[name].is_equal
        assert {unit.change for unit in by_name[name].units} == {0.0}
    units = by_name[LAYER].units
    assert {unit.unit.index for unit in units[:3]} == set(TRAINED)
    assert all(unit.change > 0.01 for unit in units[:3])
    assert {unit.change for unit in units[3:]} == {0.0}
    assert {unit.cosine for unit in units[3:]} == {1.0}
    turned = {unit.unit.id for change in ranking.layers for unit in change.units if unit.turned}
    assert turned == {f"{LAYER}:{index}" for index in TRAINED}
    assert by_name["fc"].answers.median > 0  # what comes after is changed as well


def test_a_fine_tuned_network_is_compared_number_by_number(tmp_path: Path):
    tuned = fine_tune(tmp_path / "tuned.safetensors", n_steps=8, lr=0.0005)
    ranking = compared(tmp_path, tuned)
    by_name = {change.layer.name: change for change in ranking.layers}
    assert not any(change.is_equal for change in ranking.layers)
    assert all(change.is_paired and change.own_share > 0.9 for change in ranking.layers)
    medians = [change.answers.median for change in ranking.layers]
    assert by_name["conv1"].answers.median == min(medians)  # early filters are of use for all
    assert by_name["fc"].answers.median > 10 * min(medians)


def permuted(weights: Path, path: Path) -> Path:
    """A demo network with the channels between two convs of a block in another order."""
    state = load_file(weights)
    order = torch.arange(40).roll(1)
    for key in list(state):
        if key.startswith(("layer2.1.conv1.", "layer2.1.bn1.")) and state[key].ndim:
            state[key] = state[key][order].contiguous()
    state["layer2.1.conv2.weight"] = state["layer2.1.conv2.weight"][:, order].contiguous()
    save_file(state, path)
    return path


def test_units_in_another_order_are_found_by_their_answers(tmp_path: Path):
    weights = permuted(WEIGHTS_PATH, tmp_path / "permuted.safetensors")
    ranking = compared(tmp_path, weights, "layer2.1.*", "fc")
    by_name = {change.layer.name: change for change in ranking.layers}
    moved = by_name["layer2.1.conv1"]
    assert not moved.is_paired and moved.own_share == 0
    assert all(unit.partner == (unit.unit.index + 1) % 40 for unit in moved.units)
    assert all(unit.answers > 0.999 for unit in moved.units)
    for name in ("layer2.1.conv2", "layer2.1.conv3", "fc"):  # the network computes the same
        assert by_name[name].is_paired
        assert all(unit.answers > 0.999 for unit in by_name[name].units)


def retrained(path: Path) -> Path:
    """The demo network with other weights in every convolution, as after a training of its own."""
    state = load_file(WEIGHTS_PATH)
    torch.manual_seed(3)
    for key, tensor in state.items():
        if tensor.ndim == 4:
            state[key] = torch.randn_like(tensor) * tensor.std()
    save_file(state, path)
    return path


def test_networks_that_have_nothing_in_common_are_not_compared_by_numbers(tmp_path: Path):
    other = retrained(tmp_path / "other.safetensors")
    result = run(
        "compare", "demo", other, *DEMO, "--pictured", "0", *Folders(tmp_path, tmp_path).options
    )
    assert result.code == 0, result.err
    ranking = compared(tmp_path, other)
    *convs, classifier = ranking.layers
    assert classifier.is_paired and not any(change.is_paired for change in convs)
    page = text_of((tmp_path / "index.html").read_text(encoding="utf-8"))
    assert "The numbers of units do not correspond: " in page
    assert "as in networks that were trained independently" in page


def test_a_key_after_the_name_of_a_file_chooses_a_network_in_it(tmp_path: Path):
    state = load_file(WEIGHTS_PATH)
    ema = {key: tensor + 0.01 if tensor.ndim == 4 else tensor for key, tensor in state.items()}
    path = tmp_path / "both.pth"
    torch.save({"model": state, "ema": ema}, path)
    names = (f"{path}#model", f"{path}#ema")
    with Comparison(asked("conv1"), names, places(tmp_path), 0) as comparison:
        assert comparison.a.facts.weights == "both.pth (model)"
        assert comparison.b.facts.weights == "both.pth (ema)"
        assert not comparison.ranking().layers[0].is_equal


def test_a_file_with_a_number_sign_in_its_name_is_that_file(tmp_path: Path):
    path = tmp_path / "run#3.pth"
    torch.save(load_file(WEIGHTS_PATH), path)
    assert with_weights(asked(), str(path)).weights == str(path)


def test_pictures_are_shown_to_both_networks(tmp_path: Path, tuned: Path):
    ranking = compared(tmp_path, tuned, LAYER, n_pictured=5)
    (change,) = ranking.layers
    shown = [unit for unit in change.units if unit.exchange]
    assert {unit.unit.index for unit in shown} == set(TRAINED)  # nothing else has changed
    for unit in shown:
        assert unit.exchange.a_to_a > 1  # it drives its own unit
        assert unit.exchange.b_to_a < unit.exchange.a_to_a  # and the trained one less
        assert unit.exchange.b_to_b is not None and unit.exchange.a_to_b is not None
        assert 0 <= unit.exchange.kept <= 1


@pytest.mark.parametrize("batch_norm", ["bn1", None])
def test_pictures_are_found_where_a_build_keeps_them(cache: Cache, batch_norm: str | None):
    facts = site_factory.network()
    layers = [dataclasses.replace(layer, batch_norm=batch_norm) for layer in facts.layers]
    facts = dataclasses.replace(facts, layers=tuple(layers))
    spec = AtlasSpec(kinds=("excitatory",), selection=Selection(units=(range(2),)))
    (job, *_) = make_plan(spec, facts, ()).asked
    (unit, key), *_ = job.keyed
    cache.put([Artifact(key, unit.id, job.kind.name, 8, 8, "{}", 0.0, b"picture")])
    found = stored_pictures(
        SimpleNamespace(asked=spec, facts=facts, cache=cache), job.layer, [0, 1]
    )
    assert {index: entry.key for index, entry in found.items()} == {unit.index: key}


def test_the_command_names_what_changed_most(built: tuple[Folders, str]):
    lines = built[1].splitlines()
    assert lines[0] == "6 of 13 layers compute the same in both."
    assert "384 images that come with the network" in lines[1]
    assert lines[2].split()[0] in [f"{LAYER}:{index}" for index in TRAINED]


def test_every_link_and_picture_of_the_site_is_there(built: tuple[Folders, str]):
    pages = read_pages(built[0].out)
    assert len(pages) > 20
    for path, page in pages.items():
        for target in page.targets:
            address, _, fragment = target.partition("#")
            where = resolve(path, address) if address else path
            assert (built[0].out / where).is_file(), (path, target)
            assert not fragment or fragment in pages[where].ids


def test_the_front_page_says_what_was_found(built: tuple[Folders, str]):
    text = text_of(read(built[0], "index.html"))
    assert "6 layers of 13 compute the same in both networks" in text
    assert "compared number by number" in text
    for index in TRAINED:
        assert f"{LAYER}/{index:04d}.html" in read(built[0], "index.html")


def test_the_page_of_a_layer_has_all_its_units(built: tuple[Folders, str]):
    html = read(built[0], f"{LAYER}/index.html")
    assert html.count('<th scope="row">') == 3
    assert "The 37 other units have equal weights and equal answers." in html
    first = [int(index) for index in re.findall(r'<th scope="row">(?:<a [^>]*>)?(\d+)', html)[:3]]
    assert set(first) == set(TRAINED)
    assert "computes the same in both" in read(built[0], "conv1/index.html")


def test_the_page_of_a_unit_has_both_pictures_and_all_measures(built: tuple[Folders, str]):
    html = read(built[0], f"{LAYER}/0007.html")
    for side in "ab":
        for noun in ("picture", "weights"):
            assert f'src="{noun}-{side}-0007.webp"' in html
    for heading in ("Answers to the same images", "Each other’s pictures", "Weights"):
        assert f"<h2>{heading}</h2>" in html
    assert "no picture" not in html and html.count("σ</td>") + html.count("σ<") >= 4


def test_a_second_run_makes_nothing_and_loads_no_torch(built: tuple[Folders, str], tuned: Path):
    folders = built[0]
    before = {path: path.stat().st_mtime_ns for path in folders.out.rglob("*.html")}
    command = ("compare", "demo", tuned, *DEMO, "--pictured", "4", *folders.options)
    process = start("-c", WITHOUT_TORCH, ROOT / "build.py", *command)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err.decode()
    assert out.decode() == built[1]
    assert {path: path.stat().st_mtime_ns for path in folders.out.rglob("*.html")} == before


def test_what_is_measured_outlives_an_interruption(
    tmp_path: Path, tuned: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(atlas.comparing.answers, "CPU_BYTES", 1)  # a pass for every layer
    measure, passed = atlas.comparing.answers.answers_records, []

    def interrupted(a, b, layers, *others):
        passed.append(layers[0].name)
        if len(passed) == 3:
            raise KeyboardInterrupt
        return measure(a, b, layers, *others)

    monkeypatch.setattr(atlas.comparing.answers, "answers_records", interrupted)
    with pytest.raises(KeyboardInterrupt):
        compared(tmp_path, tuned, "layer2.0.*")
    assert passed == [LAYER, "layer2.0.conv3", "layer2.0.downsample.0"]
    compared(tmp_path, tuned, "layer2.0.*")
    assert passed[3:] == ["layer2.0.downsample.0"]


def test_a_damaged_picture_is_made_again(tmp_path: Path, tuned: Path):
    folders = Folders(tmp_path / "site", tmp_path / "cache")
    command = ("compare", "demo", tuned, *DEMO, "--layers", LAYER, *folders.options)
    first = run(*command)
    assert first.code == 0, first.err
    pictures = sorted(folders.out.rglob("picture-*.webp"))
    shutil.rmtree(folders.out)
    with contextlib.closing(sqlite3.connect(folders.cache / FILE_NAME)) as db, db:
        db.execute("update artifacts set data = randomblob(length(data)) where kind = 'excitatory'")
    again = run(*command)
    assert again.code == 0, again.err
    assert "made again: excitatory of" in again.err and again.out == first.out
    assert sorted(folders.out.rglob("picture-*.webp")) == pictures != []
    for path in pictures:
        Image.open(path).load()
    assert run("verify", *folders.options).code == 0


def test_another_number_of_classes_leaves_the_classifier_out(tmp_path: Path):
    state = load_file(WEIGHTS_PATH)
    state["fc.weight"], state["fc.bias"] = (
        state["fc.weight"][:7].clone(),
        state["fc.bias"][:7].clone(),
    )
    save_file(state, tmp_path / "seven.safetensors")
    ranking = compared(tmp_path, tmp_path / "seven.safetensors")
    assert ranking.classes.words == (
        "fc is left out, as A has 24 classes and B has 7, and the labels of A and B are not known; "
        "--labels and --labels-b give them"
    )
    assert all(change.is_equal for change in ranking.layers)
    assert "fc" not in [change.layer.name for change in ranking.layers]
    with pytest.raises(SpecError, match="nothing to compare: fc is left out"):
        compared(tmp_path, tmp_path / "seven.safetensors", "fc")


def with_classes(folder: Path, order: list[int], negated: int = -1) -> tuple[Path, Path]:
    """A demo network with some of the classes, in another order, and a file of their labels.

    The weights of the one class `negated` have the other sign.
    """
    state = load_file(WEIGHTS_PATH)
    sign = torch.tensor([-1.0 if index == negated else 1.0 for index in order])
    state["fc.weight"] = state["fc.weight"][order] * sign[:, None]
    state["fc.bias"] = state["fc.bias"][order] * sign
    weights, labels = folder / "classes.safetensors", folder / "classes.txt"
    save_file(state, weights)
    names = find_family("demo").labels().names
    labels.write_text("\n".join(names[index] for index in order), encoding="utf-8")
    return weights, labels


def test_classes_in_another_order_are_compared_by_their_labels(tmp_path: Path):
    weights, labels = with_classes(tmp_path, [*range(1, 24), 0])
    folders = Folders(tmp_path / "site", tmp_path / "cache")
    command = ("compare", "demo", weights, *DEMO, *folders.options)
    result = run(*command, "--labels-b", labels)
    assert result.out.startswith("13 of 13 layers compute the same in both.\n14 pages")
    assert "both have the same, in another order" in result.err
    assert "both have the same, in another order" in read(folders, "index.html")
    by_number = run(*command, "--pictured", "0")  # from the same cache
    assert by_number.out.startswith("12 of 13 layers compute the same in both.\n24 units")
    assert "as the labels of B are not known; --labels-b gives them" in by_number.err


def test_classes_that_both_networks_have_are_compared(tmp_path: Path):
    weights, labels = with_classes(tmp_path, [9, 8, 7, 6], negated=7)
    folders = Folders(tmp_path / "site", tmp_path / "cache")
    command = ("compare", "demo", weights, *DEMO, "--labels-b", labels, *folders.options)
    result = run(*command)
    assert result.code == 0, result.err
    assert "label by label: 4 are in both, 20 of A and 0 of B are left out" in result.err
    assert "1 unit answers differently" in result.out
    assert re.search(r"fc:7 \(beside 2\) +correlation -1.000, cosine of weights -1.000", result.out)
    layer_page = text_of(read(folders, "fc/index.html"))
    assert "label by label: 4 are in both" in layer_page and "1 class that differs" in layer_page
    name = find_family("demo").labels().names[7]
    page = text_of(read(folders, "fc/0007.html"))
    assert f"{name} fc: class 7 of 24, numbered from 0; in B it is class 2" in page
    assert "Excitatory picture of class 2, synthesised from noise with the weights B" in page
    assert [path.name for path in folders.out.glob("fc/picture-b-*")] == ["picture-b-0002.webp"]
    assert broken_links(folders.out) == []


def test_more_classes_in_the_second_network_are_no_fault(tmp_path: Path):
    few, labels_of_few = with_classes(tmp_path, [9, 8, 7])
    names = (str(few), "demo")
    spec = dataclasses.replace(asked(), labels=labels_of_few)
    with Comparison(spec, names, places(tmp_path), 0) as comparison:
        ranking = comparison.ranking()
        assert comparison.classes.pairs == ((0, 9), (1, 8), (2, 7))
    assert all(change.is_equal for change in ranking.layers)
    assert [unit.partner for unit in ranking.layers[-1].units] == [9, 8, 7]


def test_an_encoder_is_compared_with_what_was_made_of_it(tmp_path: Path):
    state = load_file(WEIGHTS_PATH)
    encoder = {key: each for key, each in state.items() if not key.startswith("fc.")}
    save_file(encoder, tmp_path / "encoder.safetensors")
    ranking = compared(tmp_path, tmp_path / "encoder.safetensors")
    assert ranking.classes.words == "fc is left out, as B has no classes"
    assert len(ranking.layers) == 12 and all(change.is_equal for change in ranking.layers)


def test_equal_weights_in_another_file_differ_nowhere(tmp_path: Path):
    save_file(load_file(WEIGHTS_PATH), tmp_path / "copy.safetensors", {"saved": "again"})
    folders = Folders(tmp_path / "site", tmp_path / "cache")
    result = run("compare", "demo", tmp_path / "copy.safetensors", *DEMO, *folders.options)
    assert result.out.startswith("13 of 13 layers compute the same in both.\n14 pages")
    assert "Nothing differs" in read(folders, "index.html")


def test_the_same_weights_twice_are_refused(tmp_path: Path):
    folders = Folders(tmp_path / "site", tmp_path / "cache")
    result = run("compare", "demo", WEIGHTS_PATH, *DEMO, *folders.options)
    assert_refused(result, "the same weights twice")
    assert not folders.out.exists()


def test_weights_of_another_architecture_are_refused_in_one_line(tmp_path: Path):
    save_file({"conv1.weight": torch.zeros(4, 3, 3, 3)}, tmp_path / "other.safetensors")
    folders = Folders(tmp_path / "site", tmp_path / "cache")
    result = run("compare", "demo", tmp_path / "other.safetensors", *DEMO, *folders.options)
    assert_refused(result, "does not fit DemoNet")


def test_networks_that_differ_in_their_layers_are_refused():
    a = site_factory.network()
    b = dataclasses.replace(a, layers=site_factory.numbered((a.layers[0], *a.layers[2:])))
    with pytest.raises(SpecError, match=r"differ from layer1\.0\.conv1 on; give two weight sets"):
        shared_layers(a, b, Classes())


def test_an_atlas_is_not_overwritten(tmp_path: Path, tuned: Path):
    folders = Folders(tmp_path / "site", tmp_path / "cache")
    part = ("--layers", "conv1", "--units", "0", "--kinds", "filter")
    assert run(*DEMO, *part, *folders.options).code == 0
    result = run("compare", "demo", tuned, *DEMO, *folders.options)
    assert_refused(result, "holds an atlas", "--out")
    assert json.loads((folders.out / "manifest.json").read_bytes())


@pytest.mark.parametrize(
    ("option", "value"), [("--weights", "demo"), ("--kinds", "filter"), ("--leave-out", "filter")]
)
def test_options_that_would_do_nothing_are_refused(tuned: Path, option: str, value: str):
    assert_refused(run("compare", "demo", tuned, *DEMO, option, value), "no use for", option)


def test_without_pictures_there_are_rankings_only(tmp_path: Path, tuned: Path):
    folders = Folders(tmp_path / "site", tmp_path / "cache")
    command = ("compare", "demo", tuned, *DEMO, "--layers", LAYER, "--pictured", "0")
    assert run(*command, *folders.options).code == 0
    assert sorted(path.name for path in folders.out.rglob("*.webp")) == []
    assert [path.parent.name for path in folders.out.glob("*/*.html")] == [LAYER]
