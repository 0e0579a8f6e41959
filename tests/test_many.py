"""A file of networks gives an atlas each and a landing page; mistakes are named by their line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from test_command import assert_refused, run

from atlas.errors import SpecError
from atlas.many import Line, chosen_lines, read_lines

COMMON = (
    *("--preset", "preview", "--device", "cpu", "--quiet"),
    *("--kinds", "filter,excitatory", "--layers", "conv1"),
)
NETWORKS = """
# two atlases of one network

first --demo --units 0-3
second --demo --units 0-2 --seed 7   # another seed
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "networks.txt"
    path.write_text(text, encoding="utf-8")
    return path


def many(folder: Path, text: str, *options: object):
    places = ("--out", folder / "site", "--cache", folder / "cache")
    return run("many", write(folder, text), *COMMON, *places, *options)


def test_lines_are_names_and_options_as_a_shell_reads_them(tmp_path: Path):
    lines = read_lines(write(tmp_path, NETWORKS + "third --layers 'a b' # end\n"))
    assert [line.number for line in lines] == [4, 5, 6]
    assert lines[2] == Line(6, "third", ("--layers", "a b"))
    assert [line.name for line in chosen_lines(lines, ("third", "first"))] == ["first", "third"]
    with pytest.raises(SpecError, match="no network 'fourth' in the file; there are first, second"):
        chosen_lines(lines, ("fourth",))


def test_each_line_is_an_atlas_and_there_is_a_landing_page(tmp_path: Path):
    result = many(tmp_path, NETWORKS)
    assert result.code == 0, result.err
    assert re.search(r"first: 8 pictures and panels made, 0 were there", result.out)
    assert re.search(r"second: 3 pictures and panels made, 3 were there", result.out)  # filters
    landing = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert 'href="first/index.html"' in landing and 'href="second/index.html"' in landing
    assert (tmp_path / "site" / "second" / "conv1" / "0002.html").is_file()
    again = many(tmp_path, NETWORKS, "--only", "second")
    assert "second: 0 pictures" in again.out and "first" not in again.out


def test_one_that_cannot_be_built_does_not_stop_the_others(tmp_path: Path):
    weights = tmp_path / "torn.pth"
    weights.write_bytes(b"torn")
    result = many(tmp_path, f"torn --demo --weights {weights}\n{NETWORKS}")
    assert result.code == 3
    assert "Error: torn: " in result.err and "Not built, or not whole: torn;" in result.err
    assert "second: 3 pictures" in result.out


def test_a_dry_run_says_the_work_of_each(tmp_path: Path):
    result = many(tmp_path, NETWORKS, "--dry-run")
    assert result.code == 0 and not (tmp_path / "site").exists()
    figures = re.findall(r"0 of (\d+) pictures and panels are done; ([\d.e-]+) PFLOP", result.out)
    assert [int(n) for n, _ in figures] == [8, 6]
    assert 0 < float(figures[1][1]) < float(figures[0][1])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--demo", "line 2: it begins with an option; write the atlas's name"),
        ("a --demo --cache x", "line 2: --cache is for all networks"),
        ("a --demo --help", "line 2: --help is for all networks"),
        ("a serve", "line 2: 'serve' is no option of a build"),
        ("a --demo 5", "line 2: '5' is no option of a build"),
        ("a --bogus", "line 2: No such option"),
        ("a --demo --device cpu,cpu --cluster auto", "line 2: several devices are those of this"),
        ("a --preset best", "line 2: Invalid value for '--preset'"),
        ("a --demo --seed 1 --seed 2", "line 2: --seed is given 2 times"),
        ("a --demo --units 3-1", "line 2: '3-1' runs backwards"),
        ("../a --demo", "line 2: '../a' cannot be the name of an atlas's folder"),
        ("FIRST --demo", "line 2: 'FIRST' is the name of line 1 already"),
        ('a "--demo', "line 2: No closing quotation"),
    ],
)
def test_mistakes_are_found_before_any_work_and_named_by_their_line(
    tmp_path: Path, line: str, words: str
):
    assert_refused(many(tmp_path, f"first --demo\n{line}\n"), "networks.txt", words)
    assert not (tmp_path / "cache").exists() and not (tmp_path / "site").exists()


def test_files_that_name_nothing_are_explained(tmp_path: Path):
    assert_refused(many(tmp_path, "# none\n"), "names no network; write lines like")
    assert_refused(run("many", tmp_path / "none.txt"), "cannot read", "No such file")
    assert_refused(run("many", tmp_path), "cannot read", "directory")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    assert_refused(run("many", tmp_path / "bytes"), "no text in UTF-8")
    assert_refused(many(tmp_path, NETWORKS, "--atlas", "x"), "many has no use for --atlas")
