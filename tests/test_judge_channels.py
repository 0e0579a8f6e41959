"""The script that measures how well the pictures of channels stand for their units."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import judge_channels
import pytest
import site_factory
import torch
from click.testing import CliRunner
from test_command import run

from atlas.units import Unit


def test_a_units_own_picture_is_its_best_if_no_other_scores_more():
    units = [Unit("conv", index) for index in (0, 2, 3)]
    # A row for each picture, a column for each unit of the layer; unit 1 has no picture.
    scores = torch.tensor([[3.0, 9, 1, 2], [1, 9, 3, 4], [4, 9, 2, 3]])
    assert judge_channels.n_own(scores, units) == 1  # the second


def test_seeds_agree_if_they_move_the_other_units_alike():
    units = [Unit("conv", index) for index in (0, 1)]
    first = torch.tensor([[9.0, 1, 2, 3, 4], [1, 9, 4, 3, 2]])
    second = torch.tensor([[0.0, 2, 3, 4, 5], [9, 0, 2, 3, 4]])  # the second as the first was
    assert judge_channels.n_agree(first, second, units) == 1


def test_a_picture_names_its_unit_if_no_other_answers_more():
    units = [Unit("conv", index) for index in (0, 2, 3)]
    # A row for each picture, a column for each unit of the layer; unit 1 has no picture.
    means = torch.tensor([[3.0, 9, 1, 2], [1, 9, 3, 2], [1, 9, 4, 3]])
    assert judge_channels.n_named(means, units) == 2


def test_groups_are_successive_units_of_the_layer_whichever_are_left_out():
    units = [Unit("conv", index) for index in (0, 3, 4, 8, 9, 11)]
    assert judge_channels.groups_of(units, 4) == [units[:2], units[3:]]  # 4 is alone


def test_units_that_are_switched_off_or_respond_to_borders_are_left_out():
    contents, _ = site_factory.contents()
    layer = contents.facts.layers[0]
    shares = torch.ones(layer.n_units)
    shares[1] = 0.049
    network: Any = SimpleNamespace(norm_shares=lambda layer: shares)
    with site_factory.changed_numbers(contents, layer.name, "border") as made:
        made["place"][2] = "right edge"
    all_units = judge_channels.pictured_units(network, layer, contents)
    ordinary = judge_channels.ordinary_units(network, layer, contents)
    assert {unit.index for unit in all_units} - {unit.index for unit in ordinary} == {1, 2}


def test_without_a_record_of_borders_nothing_is_judged():
    contents, _ = site_factory.contents(wanted=lambda unit, kind: kind != "border")
    network: Any = SimpleNamespace(norm_shares=lambda layer: None)
    with pytest.raises(click.ClickException, match="no record of the kind border for conv1"):
        judge_channels.ordinary_units(network, contents.facts.layers[0], contents)


def test_figures_of_groups_are_added():
    one, other = (
        judge_channels.LayerFigures("conv", n, n, again, n, None, n - 1, n)
        for n, again in ((3, 3), (4, None))
    )
    assert judge_channels.total("conv", [one, other]) == judge_channels.LayerFigures(
        "conv", 7, 7, None, 7, None, 5, 7
    )


def test_the_demos_pictures_name_their_units(tmp_path: Path):
    part = ["--layers", "conv1,layer1.0.conv2", "--units", "0-7", "--preset", "preview"]
    options = ["--demo", *part, "--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "site")]
    for more in (
        ["--kinds", "excitatory,field,border,natural"],
        ["--kinds", "excitatory", "--seed", "1"],
    ):
        assert run(*options, *more).code == 0
    asked = ["--model", "demo", "--preset", "preview", "--cache", str(tmp_path / "cache")]
    result = CliRunner().invoke(judge_channels.main, asked)
    rows = {line.split()[0]: line.split()[1:] for line in result.stdout.splitlines()}
    assert set(rows) == {"layer", "conv1", "layer1.0.conv2", "all"}, result.output
    assert rows["all"][0] == "16"
    own, again, named, agree, above, with_fields = (float(figure) for figure in rows["all"][1:])
    assert own > 0.9 and again > 0.9 and named > 0.6 and agree > 0.6
    assert 0 <= above <= with_fields <= 1
