"""Pages that are made when somebody asks: in the cache, on the site, in the manifest, forgotten."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from test_command import Folders, assert_refused, run

from atlas.on_demand import ON_DEMAND

DEMO = ("--demo", "--preset", "preview", "--layers", "conv1")
FIRST, SECOND = "conv1:0", "conv1:2"


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path / "site", tmp_path / "cache")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "Noise.png"
    Image.effect_noise((100, 120), 90).convert("RGB").save(path)
    return path


def asked_for(name: str, photo: Path) -> tuple[object, ...]:
    """The command and its arguments."""
    return {
        "like": ("like", photo),
        "caricature": ("caricature", photo),
        "mix": ("mix", FIRST, SECOND),
        "variants": ("variants", FIRST, "--count", 2),
    }[name]


@pytest.mark.parametrize("kind", ON_DEMAND, ids=lambda kind: kind.name)
def test_what_is_asked_for_has_a_page_until_it_is_forgotten(kind, folders: Folders, photo: Path):
    command = (*asked_for(kind.name, photo), *DEMO, *folders.options)
    first = run(*command)
    assert first.code == 0, first.err
    page = Path(first.out.splitlines()[-1].removeprefix("Page: "))
    assert page.parent.name == kind.name
    again = run(*command)
    assert again.out == first.out and "0 files written" in again.err

    run(*DEMO, "--kinds", "filter", *folders.options)  # survives another build
    (told, *_) = json.loads((folders.out / "manifest.json").read_bytes())[kind.plural]
    assert folders.out / told["page"] == page
    assert (folders.out / told["picture"]).is_file()
    assert f'href="{told["page"]}"' in (folders.out / "index.html").read_text(encoding="utf-8")

    cleaned = run("clean", kind.plural, "--cache", folders.cache)
    assert cleaned.out == f"1 {kind.noun} removed.\n"
    run(*DEMO, "--kinds", "filter", *folders.options)
    assert not page.exists()
    assert not json.loads((folders.out / "manifest.json").read_bytes())[kind.plural]


def test_units_and_layers_link_to_the_pages_about_them(folders: Folders, photo: Path):
    run(*DEMO, "--kinds", "filter", *folders.options)
    for name in ("caricature", "mix", "variants"):
        run(*asked_for(name, photo), *DEMO, *folders.options)
    manifest = json.loads((folders.out / "manifest.json").read_bytes())
    (picture, variants), mix = (
        [manifest[plural][0]["page"] for plural in ("caricatures", "variants")],
        manifest["mixes"][0]["page"],
    )
    first, second, third = (
        (folders.out / "conv1" / f"000{index}.html").read_text(encoding="utf-8")
        for index in (0, 2, 1)
    )
    layer = (folders.out / "conv1" / "index.html").read_text(encoding="utf-8")
    assert f'href="../{variants}"' in first and f'href="../{mix}"' in first
    assert f'href="../{mix}"' in second and variants not in second
    assert mix not in third and variants not in third
    assert f'href="../{picture}"' in layer and mix not in layer


def test_other_settings_replace_what_was_made_and_other_units_do_not(folders: Folders):
    run("mix", FIRST, SECOND, *DEMO, *folders.options)
    run("mix", FIRST, SECOND, *DEMO, "--seed", "1", *folders.options)
    run("mix", FIRST, "conv1:3", *DEMO, *folders.options)
    mixes = json.loads((folders.out / "manifest.json").read_bytes())["mixes"]
    assert [mix["units"] for mix in mixes] == [[FIRST, SECOND], [FIRST, "conv1:3"]]


def test_a_photograph_keeps_its_caricatures_at_other_layers(folders: Folders, photo: Path):
    run("caricature", photo, *DEMO, *folders.options)
    run("caricature", photo, *DEMO[:-1], "layer1.0.conv2", *folders.options)
    told = json.loads((folders.out / "manifest.json").read_bytes())["caricatures"]
    assert [each["layer"] for each in told] == ["conv1", "layer1.0.conv2"]
    assert len({each["page"] for each in told}) == 1
    assert len({each["picture"] for each in told}) == 2


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("mix", FIRST, FIRST), "given twice"),
        (("mix", FIRST, "conv1"), "means 16 units; give one"),
        (("mix", FIRST, "conv9:3"), "no layer, unit or class"),
        (("variants", "conv1:99"), "out of range"),
        (("variants", FIRST, "--recipe", "progressive"), "leave out --recipe"),
        (("caricature", "none.jpg"), "no file"),
    ],
)
def test_what_cannot_be_made_is_refused_in_one_line(folders: Folders, command, words):
    assert_refused(run(*command, *DEMO, *folders.options), words)
