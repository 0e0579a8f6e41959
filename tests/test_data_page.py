"""The page about the data explains every field that there is, and its example runs."""

from __future__ import annotations

import dataclasses
import http.server
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import site_factory
from site_reader import Page, broken_links

from atlas import paths
from atlas.site.data_page import groups_of, spell_type
from atlas.site.schema import manifest_schema, units_schema
from atlas.site.writer import write_site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An atlas in which only two units prefer a diagonal, the second of them most clearly."""
    out_dir = tmp_path_factory.mktemp("data")
    facts = site_factory.network(n_blocks=(1,))
    contents, pictures = site_factory.contents(facts)
    for layer in facts.layers:
        with site_factory.changed_numbers(contents, layer.name, "tuning") as numbers:
            numbers["orientation_deg"] = [5.0] * layer.n_units
    with site_factory.changed_numbers(contents, "conv1", "tuning") as numbers:
        numbers["orientation_deg"][3:6] = [44.0, 134.0, None]
        numbers["orientation_selectivity"][3:6] = [0.25, 0.75, None]
    write_site(
        dataclasses.replace(contents, on_demand=site_factory.asked_for(pictures, facts)), out_dir
    )
    return out_dir


def explained(site: Path) -> dict[str, set[str]]:
    """By path of an object, the names of its fields that the page has, file by file."""
    html = (site / "data.html").read_text(encoding="utf-8").replace("<wbr>", "")
    known: dict[str, set[str]] = {}
    for section in re.findall(r"<section>(.*?)</section>", html, re.DOTALL):
        (file,) = re.findall(r"<h2 id=\"(.*?)\"", section)
        for heading, fields in re.findall(
            r"(?:<h3>(.*?)</h3>.*?)?<dl(.*?)</dl>", section, re.DOTALL
        ):
            names = {
                name for names in re.findall(r"<dt>(.*?)<dd>", fields) for name in codes(names)
            }
            for path in codes(heading) or [""]:
                known[f"{file} {path}"] = names
    return known


def codes(html: str) -> list[str]:
    return re.findall(r"<code>(.*?)</code>", html)


def used(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Every field in a file: the path of its object and its name."""
    if isinstance(value, list):
        for each in value:
            yield from used(each, f"{path}[]")
    elif isinstance(value, dict):
        for name, each in value.items():
            yield path, name
            yield from used(each, f"{path}.{name}" if not path.endswith(" ") else path + name)


# By name of a layer, a kind, or a setting of a recipe; the page says so.
FREE = re.compile(r"(counts|\.recipe|likes\[\]\.(units|p)|natural\.skipped_counts)")


def test_every_field_of_the_files_is_on_the_page(site: Path):
    known = explained(site)
    manifest = json.loads((site / "manifest.json").read_bytes())
    found = set(used(manifest, "manifest.json "))
    for layer in manifest["layers"]:
        found |= set(used(json.loads((site / layer["units"]).read_bytes()), "units.json "))
    assert len(found) > 150
    missing = [
        (path, name)
        for path, name in sorted(found)
        if name not in known.get(path, ()) and not FREE.search(path)
    ]
    assert missing == []


def test_the_schemas_of_the_site_are_those_of_its_files(site: Path):
    for data, schema in (
        (paths.MANIFEST, paths.MANIFEST_SCHEMA),
        ("conv1/units.json", paths.UNITS_SCHEMA),
    ):
        jsonschema.validate(
            json.loads((site / data).read_bytes()), json.loads((site / schema).read_bytes())
        )


def run(program: Path, *arguments: str, cwd: Path) -> str:
    command = [sys.executable, "-I", str(program), *arguments]
    return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def program(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example as a reader copies it from the page."""
    page = (site / "data.html").read_text(encoding="utf-8")
    (code,) = re.findall(r"<pre[^>]*><code>(.*?)</code></pre>", page, re.DOTALL)
    path = tmp_path_factory.mktemp("example") / "example.py"
    path.write_text(Page(code).text, encoding="utf-8")
    return path


ANSWER = "conv1:4: 134 degrees, selectivity 0.75\nconv1:3: 44 degrees, selectivity 0.25\n"


def test_the_example_finds_the_units_in_a_folder_and_at_an_address(site: Path, program: Path):
    assert run(program, cwd=site) == run(program, str(site), cwd=program.parent) == ANSWER
    plain = partial(http.server.SimpleHTTPRequestHandler, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), plain) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        assert run(program, address, cwd=program.parent) == ANSWER
        server.shutdown()


def test_front_page_and_about_lead_to_it_and_no_link_is_broken(site: Path):
    for page in (paths.INDEX, paths.ABOUT):
        assert paths.DATA in Page((site / page).read_text(encoding="utf-8")).targets
    assert broken_links(site) == []


def test_objects_with_the_same_fields_are_explained_once():
    groups = groups_of(units_schema())
    (sprites,) = [group for group in groups if any("sheet" in each.names for each in group.fields)]
    assert {"units[].pictures.thumbnail", "units[].pictures.filter"} < {*sprites.paths}
    (noise,) = [group for group in groups if group.paths == ("units[].numbers.noise",)]
    assert ("z_max", "logit_max") in [field.names for field in noise.fields]


def test_types_are_in_words():
    layer = manifest_schema()["properties"]["layers"]["items"]["properties"]
    assert spell_type(layer["kernel"]) == "2 whole numbers"
    assert spell_type(layer["block"]) == "text or null"
    assert spell_type(layer["writers"]) == "list of texts"
    assert spell_type(layer["kind"]).startswith("“conv” or ")
