"""Options that would do nothing are refused, and options that are repeated add up."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import pytest
import torch
from full_size import broken_links
from test_command import DEMO, PART, Folders, assert_refused, run

from atlas.commands.values import published_at
from atlas.errors import SpecError
from atlas.families import find_family
from atlas.network.weights import open_weights


@pytest.fixture
def folders(tmp_path) -> Folders:
    return Folders(tmp_path / "site", tmp_path / "cache")


def n_planned(*args: object) -> int:
    result = run(*args, "--dry-run")
    assert result.code == 0, result.err
    return int(re.search(r" of ([\d,]+) pictures and panels", result.out)[1].replace(",", ""))


def test_repeated_lists_add_up(folders):
    demo = ("--demo", "--preset", "preview", *folders.options)
    separate = (
        "--layers",
        "conv1",
        "--layers",
        "fc",
        "--units",
        "0",
        "--units",
        "2-3",
        "--kinds",
        "filter",
        "--kinds",
        "excitatory",
    )
    together = ("--layers", "conv1,fc", "--units", "0,2-3", "--kinds", "filter,excitatory")
    assert n_planned(*demo, *separate) == n_planned(*demo, *together) == 12


def test_repeated_kinds_are_left_out_together(folders):
    site = (*DEMO, *PART, *folders.options)
    assert run(*site, "--leave-out", "excitatory", "--leave-out", "filter").code == 0
    assert not list(folders.out.rglob("0*.webp"))


@pytest.mark.parametrize(
    ("option", "first", "second"),
    [
        ("--images", "a", "b"),
        ("--weights", "a.pth", "b.pth"),
        ("--labels", "a.txt", "b.txt"),
        ("--preset", "preview", "fine"),
        ("--recipe", "fourier", "progressive"),
        ("--seed", "1", "2"),
        ("--device", "cpu", "cuda"),
        ("--model", "demo", "resnet50"),
        ("--base-url", "https://a.example", "https://b.example"),
    ],
)
def test_what_there_can_be_only_one_of_is_not_taken_twice(folders, option, first, second):
    twice = (option, first, option, second)
    assert_refused(run(*twice, *folders.options), f"{option} is given 2 times; give it once")
    assert_refused(run("status", *twice, *folders.options), f"{option} is given 2 times")
    assert not folders.cache.exists()


def test_folders_are_not_taken_twice(folders):
    for command in ([], ["serve"], ["clean", "site"]):
        assert_refused(run(*command, "--out", "a", "--out", "b"), "--out is given 2 times")


def test_two_networks_are_refused_and_one_may_be_named_twice(folders):
    result = run("--model", "resnet50", "--demo", *folders.options)
    assert_refused(result, "resnet50 and demo are two networks")
    assert n_planned("--model", "demo", *DEMO, *PART, *folders.options) == 16


@pytest.mark.parametrize("option", ["--layers", "--units", "--classes", "--kinds", "--leave-out"])
@pytest.mark.parametrize("nothing", ["", " ", ",", ", ,"])
def test_lists_that_name_nothing_are_refused(folders, option, nothing):
    result = run("--demo", option, nothing, *folders.options)
    assert_refused(result, f"{option} names nothing; leave it out")


@pytest.mark.parametrize("nothing", ["", "  "])
@pytest.mark.parametrize("option", ["--model", "--weights"])
def test_networks_and_weights_without_a_name_are_refused(folders, option, nothing):
    assert_refused(run(option, nothing, *folders.options), f"{option} is empty")


@pytest.mark.parametrize("option", ["--kinds", "--leave-out"])
def test_unknown_kinds_are_refused(folders, option):
    assert_refused(run("--demo", option, "filter,dreams", *folders.options), "no kind 'dreams'")


def test_photographs_that_nothing_looks_at_are_refused(folders, tmp_path):
    asked = ("--demo", "--images", tmp_path, *folders.options)
    result = run(*asked, "--kinds", "filter,excitatory")
    assert_refused(result, "--images is for natural, photographs and examples", "--kinds")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--demo", "serve"), "serve has no use for --demo"),
        (("--layers", "fc", "--seed", "1", "serve"), "serve has no use for --layers, --seed"),
        (("--labels", "a.txt", "clean", "site", "--yes"), "clean has no use for --labels"),
        (("--dry-run", "status"), "status has no use for --dry-run"),
        (("--cluster", "local", "status"), "status has no use for --cluster"),
        (("bench", "--demo", "--images", "photos"), "bench has no use for --images"),
        (("bench", "--demo", "--kinds", "filter"), "bench has no use for --kinds"),
        (("--demo", "--labels", "a", "bench"), "bench has no use for --labels"),
    ],
)
def test_sub_commands_refuse_options_that_do_nothing_there(folders, args, words):
    assert_refused(run(*args), words)


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("", ""),
        ("https://me.github.io/atlas", "https://me.github.io/atlas"),
        ("https://me.github.io/atlas/", "https://me.github.io/atlas/"),
        ("https://x/index.html", "https://x/"),
        ("https://x/a/index.html?b=c#d", "https://x/a/"),
        ("http://x:8080/a?b", "http://x:8080/a"),
        ("https://x#top", "https://x"),
        ("https://x/my-index.html", "https://x/my-index.html"),
        ("https://[::1]:8000/index.html", "https://[::1]:8000/"),
    ],
)
def test_the_address_of_the_site_is_that_of_its_folder(given, address):
    assert published_at(given) == address


@pytest.mark.parametrize(
    "given",
    [
        "me.github.io",
        "ftp://x/",
        "https://",
        "https:///a",
        "https://me:secret@x/",
        "https://me@x/",
        "https://x/a b",
        "https://x/\n",
        'https://x/"><script>',
        "https://x:port/",
        "https://x:0/",
        "https://[::1/",
        "javascript:alert(1)",
        "https://x/\x1b[31m",
        "file:///a",
        "https://x/\\y",
    ],
)
def test_what_is_no_address_is_refused(given, folders):
    with pytest.raises(SpecError, match="--base-url"):
        published_at(given)
    assert_refused(run(*DEMO, *PART, "--base-url", given, *folders.options), "--base-url")


def test_classes_of_a_layer_and_ranges_still_work(folders):
    demo = ("--demo", "--kinds", "filter", *folders.options)
    assert n_planned(*demo, "--classes", "1-10") == 10
    assert n_planned(*demo, "--layers", "layer1") > 16


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """The demo network without its classifier, and an average of it, as a training script saves."""
    with open_weights(find_family("demo").weights["demo"].file) as weights:
        encoder = {key: weights.read(key) for key in weights.tensors if "fc." not in key}
    path = tmp_path_factory.mktemp("weights") / "mine.pth"
    average = {key: value / 2 for key, value in encoder.items()}
    args = argparse.Namespace(out=path)
    torch.save({"model_ema": average, "model": encoder, "args": args}, path)
    return path


@pytest.mark.parametrize(
    ("options", "taken", "other"),
    [((), "model", "model_ema"), (("--state-key", "model_ema"), "model_ema", "model")],
)
def test_a_network_in_a_checkpoint_makes_an_atlas_without_classes(
    folders, checkpoint, options, taken, other
):
    asked = ("--demo", "--weights", checkpoint, "--layers", "conv1", "--units", "0-1")
    kinds = ("--preset", "preview", "--kinds", "filter,circuit", *folders.options)
    result = run(*asked, *options, *kinds)
    assert result.code == 0, result.err
    assert f"the weights are those of {taken}; {other} would fit too, chosen with" in result.err
    assert "mine.pth has no classifier that fits: an atlas without classes" in result.err
    manifest = json.loads((folders.out / "manifest.json").read_text())
    assert "fc" not in json.dumps(manifest["layers"])
    _, broken = broken_links(folders.out)
    assert broken == []


def test_labels_for_a_network_without_classes_are_refused(folders, checkpoint):
    labels = ("--labels", checkpoint.with_name("names.txt"))
    result = run("--demo", "--weights", checkpoint, *labels, *folders.options)
    assert result.code == 2
    assert result.err.endswith(
        "DemoNet with mine.pth has no classes that labels could name; give none\n"
    )
