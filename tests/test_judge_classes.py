"""The script that has other networks name the pictures of classes."""

from __future__ import annotations

import json
from pathlib import Path

import judge_classes
import pytest
from click.testing import CliRunner
from PIL import Image

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}

# Names the colour of which there is most, as the first class of it.
JUDGE = """
import torch
from torch import nn

def colours():
    conv, linear = nn.Conv2d(3, 3, 1, bias=False), nn.Linear(3, 3, bias=False)
    with torch.no_grad():
        conv.weight.copy_(torch.eye(3)[:, :, None, None])
        linear.weight.copy_(10 * torch.eye(3))
    return nn.Sequential(conv, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear)
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site whose pictures of red and green are right and whose picture of blue is green."""
    folder = tmp_path / "site" / "fc"
    folder.mkdir(parents=True)
    units = []
    for index, (name, shown) in enumerate(zip(COLOURS, ("red", "green", "green"), strict=True)):
        Image.new("RGB", (20, 20), COLOURS[shown]).save(folder / f"{name}.png")
        pictures = {"excitatory": {"path": f"fc/{name}.png"}}
        numbers = {"excitatory": {"rank": index}}
        units.append({"index": index, "label": name, "pictures": pictures, "numbers": numbers})
    layer = {"kind": "classifier", "units": "fc/units.json"}
    (folder / "units.json").write_text(json.dumps({"units": units}))
    manifest = {"layers": [{"kind": "conv", "units": "conv/units.json"}, layer]}
    (tmp_path / "site" / "manifest.json").write_text(json.dumps(manifest))
    return tmp_path / "site"


@pytest.fixture
def judge(tmp_path: Path) -> str:
    (tmp_path / "judge.py").write_text(JUDGE)
    return f"{tmp_path / 'judge.py'}:colours"


def test_a_judge_is_right_where_the_picture_is(site: Path, judge: str, tmp_path: Path):
    path = tmp_path / "verdicts.json"
    result = CliRunner().invoke(
        judge_classes.main, [str(site), "--judge", judge, "--json", str(path)]
    )
    assert "3 pictures; the network itself: top-1 0.333" in result.stdout, result.output
    assert "top-1 0.667 (0.208 to 0.939), top-5 1.000" in result.stdout
    assert "2 blue: p 0.000, seen as green, " in result.stdout
    assert "1 green: p" not in result.stdout
    (rows,) = json.loads(path.read_text()).values()
    assert [row["first"][0] for row in rows] == [0, 1, 1]


def test_classes_are_chosen_by_their_remainder(site: Path, judge: str):
    arguments = [str(site), "--judge", judge, "--classes"]
    assert "1 pictures" in CliRunner().invoke(judge_classes.main, [*arguments, "1%2"]).stdout
    assert CliRunner().invoke(judge_classes.main, [*arguments, "7%10"]).exit_code == 1
    assert "is not like 7%10" in CliRunner().invoke(judge_classes.main, [*arguments, "7"]).output


@pytest.mark.parametrize(
    ("n_right", "n", "interval"),
    [(0, 10, (0.0, 0.2775)), (5, 10, (0.2366, 0.7634)), (95, 100, (0.8882, 0.9785))],
)
def test_the_interval_is_wilsons(n_right: int, n: int, interval: tuple[float, float]):
    """At 0 of n its upper end is z^2 / (n + z^2); at one half it is symmetrical."""
    assert judge_classes.wilson(n_right, n) == pytest.approx(interval, abs=1e-4)
