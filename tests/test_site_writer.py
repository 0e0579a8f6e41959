"""Writing the site again: only what changed, after any interruption, with nothing lost."""

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import site_factory
from site_factory import Pictures

from atlas import paths
from atlas.errors import SiteError
from atlas.kinds.tuning import KIND as TUNING
from atlas.site import record, writer
from atlas.site.contents import Contents
from atlas.site.tour import nominees
from atlas.site.writer import write_site
from atlas.units import Unit

ROOT = Path(__file__).resolve().parents[1]
UNIT = Unit("layer1.0.conv2", 3)


def small() -> tuple[Contents, Pictures]:
    return site_factory.contents(site_factory.network(n_blocks=(1,), width=4))


def state(site: Path) -> dict[str, tuple[int, str]]:
    """Modification time and digest of every file."""
    return {
        path.relative_to(site).as_posix(): (
            path.stat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        for path in site.rglob("*")
        if path.is_file()
    }


def changed(before: dict[str, tuple[int, str]], after: dict[str, tuple[int, str]]) -> set[str]:
    return {path for path, known in after.items() if before.get(path) != known}


def digests(site: Path) -> dict[str, str]:
    return {path: digest for path, (_, digest) in state(site).items()}


def with_entry(contents: Contents, pictures: Pictures, unit: Unit, rgb: object) -> Contents:
    """The same contents with another excitatory picture of one unit."""
    data = site_factory.picture(rgb, (64, 64), lossless=False)  # type: ignore[arg-type]
    numbers = {"z": 99.0, "z_start": 0.0}
    entry = pictures.add(unit, "excitatory", data, numbers)
    entries = dict(contents.entries)
    entries[unit.id] = {**entries[unit.id], "excitatory": entry}
    return dataclasses.replace(contents, entries=entries)


def n_for_tour(contents: Contents) -> int:
    """How many pictures the front page looks at to choose the units of the tour."""
    return sum(len(units) for units in nominees(contents))


def test_a_second_build_writes_and_reads_nothing(tmp_path: Path) -> None:
    contents, pictures = small()
    first = write_site(contents, tmp_path)
    before, n_reads = state(tmp_path), pictures.n_reads
    second = write_site(dataclasses.replace(contents), tmp_path)
    assert state(tmp_path) == before
    assert pictures.n_reads == n_reads
    assert (second.n_written, second.n_unchanged) == (0, first.n_files)
    assert second.n_bytes == first.n_bytes


def test_where_nothing_changed_nothing_is_even_planned(tmp_path: Path, monkeypatch) -> None:
    contents, _ = small()
    write_site(contents, tmp_path)

    def planned(*_: object) -> None:
        raise AssertionError("planned")

    monkeypatch.setattr(writer, "plan_outputs", planned)
    write_site(dataclasses.replace(contents), tmp_path)
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(AssertionError, match="planned"):
        write_site(dataclasses.replace(contents), tmp_path)


def test_the_digest_of_contents_changes_with_all_that_is_shown() -> None:
    contents, pictures = small()
    assert contents.digest == dataclasses.replace(contents).digest
    assert contents.digest != with_entry(contents, pictures, UNIT, (255, 255, 255)).digest
    spec = dataclasses.replace(contents.spec, seed=5)
    assert dataclasses.replace(contents, spec=spec).digest != contents.digest


def test_every_artifact_is_read_once(tmp_path: Path) -> None:
    contents, pictures = small()
    write_site(contents, tmp_path)
    assert pictures.n_reads == len(pictures.data)


def test_the_report_counts_what_is_there(tmp_path: Path) -> None:
    report = write_site(small()[0], tmp_path)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert report.n_files == len(files) - 1  # the record
    assert report.n_pages == sum(path.suffix == ".html" for path in files)
    sizes = sum(path.stat().st_size for path in files if path.name != record.FILE_NAME)
    assert report.n_bytes == sizes


def test_one_changed_picture_rewrites_only_what_shows_it(tmp_path: Path) -> None:
    contents, pictures = small()
    write_site(contents, tmp_path)
    before = state(tmp_path)
    write_site(with_entry(contents, pictures, UNIT, (255, 255, 255)), tmp_path)
    assert changed(before, state(tmp_path)) == {
        paths.unit_page(UNIT),
        paths.unit_picture(UNIT),
        f"{UNIT.layer}/index.html",
        f"{UNIT.layer}/thumbs-00.webp",
        paths.FIND,  # which says how large numbers are at most
        paths.FIND_INDEX,
        f"{UNIT.layer}/units.json",
        f"{UNIT.layer}/values.js",
        "mosaics-00.webp",
        record.FILE_NAME,
    }


def test_a_changed_measurement_of_a_layer_rewrites_its_pages_but_no_picture(tmp_path: Path) -> None:
    contents, pictures = small()
    write_site(contents, tmp_path)
    before, n_reads = state(tmp_path), pictures.n_reads
    layer = contents.facts.layer(UNIT.layer)
    numbers = {"n_images": 16, "z": [0.0] * 4, "z_max": [3.0] * 4, "z_min": [-3.0] * 4}
    noise = pictures.add(layer.whole, "noise", b"", numbers)
    entries = {**contents.entries, layer.name: {**contents.entries[layer.name], "noise": noise}}
    write_site(dataclasses.replace(contents, entries=entries), tmp_path)
    pages = {paths.unit_page(unit) for unit in layer.units}
    others = {f"{layer.name}/index.html", f"{layer.name}/units.json", record.FILE_NAME}
    assert changed(before, state(tmp_path)) == pages | others
    assert pictures.n_reads == n_reads + n_for_tour(contents)


def test_what_could_not_be_made_is_said_on_its_pages_until_it_is_made(tmp_path: Path) -> None:
    contents, _ = small()
    layer = contents.facts.layers[0]
    words = "Not made: twin of a unit: it & all <others>"
    broken = dataclasses.replace(contents, failures={layer.unit(1).id: (words,)})
    write_site(contents, tmp_path)
    before = digests(tmp_path)
    write_site(broken, tmp_path)
    where = {path for path, digest in digests(tmp_path).items() if before[path] != digest}
    pages = {paths.unit_page(layer.unit(1)), paths.layer_page(layer.name)}
    assert pages <= where
    escaped = "Not made: twin of a unit: it &amp; all &lt;others&gt;"
    texts = {
        path: (tmp_path / path).read_text(encoding="utf-8") for path in before if ".html" in path
    }
    assert {path for path, text in texts.items() if escaped in text} == pages
    write_site(contents, tmp_path)
    assert digests(tmp_path) == before


def test_units_that_are_gone_take_their_files_along(tmp_path: Path) -> None:
    contents, _ = small()
    write_site(contents, tmp_path)
    fewer = {unit: made for unit, made in contents.entries.items() if unit != UNIT.id}
    report = write_site(dataclasses.replace(contents, entries=fewer), tmp_path)
    assert report.n_removed == 2
    assert not list((tmp_path / UNIT.layer).glob(f"{paths.unit_slug(UNIT)}.*"))
    fresh = tmp_path / "fresh"
    write_site(dataclasses.replace(contents, entries=fewer), fresh)
    expected = digests(fresh)
    shutil.rmtree(fresh)
    assert digests(tmp_path) == expected


def test_a_network_that_is_gone_leaves_no_empty_folders(tmp_path: Path) -> None:
    write_site(site_factory.contents()[0], tmp_path)
    write_site(small()[0], tmp_path)
    assert not (tmp_path / "layer2.0.conv1").exists()


def test_foreign_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "layer1.0.conv2").mkdir()
    mine = [tmp_path / "CNAME", tmp_path / "layer1.0.conv2" / "notes.txt"]
    for path in mine:
        path.write_text("mine")
    contents, _ = site_factory.contents()
    write_site(contents, tmp_path)
    write_site(small()[0], tmp_path)
    write_site(dataclasses.replace(contents, entries={}), tmp_path)
    assert [path.read_text() for path in mine] == ["mine", "mine"]


def test_lost_and_torn_files_come_back(tmp_path: Path) -> None:
    contents, _ = small()
    write_site(contents, tmp_path)
    before = digests(tmp_path)
    (tmp_path / "conv1" / "0000.webp").unlink()
    (tmp_path / "index.html").write_text("torn")
    assert write_site(dataclasses.replace(contents), tmp_path).n_written == 2
    assert digests(tmp_path) == before


@pytest.mark.parametrize("n_files", [0, 1, 40])
def test_a_killed_build_can_be_taken_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_files: int
) -> None:
    contents, pictures = small()
    other = with_entry(contents, pictures, UNIT, (255, 255, 255))
    write_site(contents, tmp_path / "site")
    write_site(other, tmp_path / "expected")
    write_site(contents, tmp_path / "back")
    whole = record.write_whole
    n_left = n_files + 1  # the record is the first

    def killed(path: Path, data: bytes) -> None:
        nonlocal n_left
        if n_left == 0:
            (path.parent / f"{record.PART_PREFIX}{path.name}").write_bytes(data[: len(data) // 2])
            raise KeyboardInterrupt
        n_left -= 1
        whole(path, data)

    monkeypatch.setattr(record, "write_whole", killed)
    for contents_of_build in (other, contents):  # a change that is interrupted, then taken back
        n_left = n_files + 1
        with contextlib.suppress(KeyboardInterrupt):
            write_site(contents_of_build, tmp_path / "site")
    monkeypatch.setattr(record, "write_whole", whole)
    write_site(other, tmp_path / "site")
    assert digests(tmp_path / "site") == digests(tmp_path / "expected")
    write_site(contents, tmp_path / "site")
    assert digests(tmp_path / "site") == digests(tmp_path / "back")


def test_a_first_build_that_was_killed_is_finished(tmp_path: Path) -> None:
    """A real kill, at a moment that differs from run to run."""
    program = (
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        "import os, pathlib, site_factory\n"
        "from atlas.site.writer import write_site\n"
        "def die(done, total):\n"
        "    if done > total // 2: os.kill(os.getpid(), 9)\n"
        "write_site(site_factory.contents(site_factory.network((1,), 4))[0],"
        " pathlib.Path(sys.argv[1]), progress=die)\n"
    )
    folders = [str(tmp_path / "site"), str(ROOT), str(ROOT / "tests")]
    killed = subprocess.run([sys.executable, "-c", program, *folders], check=False)
    assert killed.returncode == -9
    write_site(small()[0], tmp_path / "site")
    write_site(small()[0], tmp_path / "expected")
    assert digests(tmp_path / "site") == digests(tmp_path / "expected")


def test_a_changed_template_renders_pages_but_no_pictures(tmp_path: Path) -> None:
    contents, pictures = small()
    templates = tmp_path / "templates"
    shutil.copytree(writer.TEMPLATES_DIR, templates)
    write_site(contents, tmp_path / "site", templates_dir=templates)
    n_reads, before = pictures.n_reads, state(tmp_path / "site")
    base = templates / "base.html"
    base.write_text(base.read_text().replace("Skip to content", "To the content"))
    write_site(dataclasses.replace(contents), tmp_path / "site", templates_dir=templates)
    touched = changed(before, state(tmp_path / "site"))
    assert pictures.n_reads == n_reads + n_for_tour(contents)
    pages = {path for path in before if path.endswith(".html")} - {paths.EMBED}  # has no such link
    assert touched == pages | {record.FILE_NAME}


def test_a_changed_template_of_a_kind_renders_pages_but_no_pictures(tmp_path: Path) -> None:
    """Wherever the kind comes from: its folder need not be inside the package."""
    contents, pictures = small()
    folder = tmp_path / "tuning"
    shutil.copytree(TUNING.folder, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    moved = dataclasses.replace(TUNING, folder=folder)
    kinds = tuple(moved if kind is TUNING else kind for kind in contents.kinds)
    contents = dataclasses.replace(contents, kinds=kinds)
    write_site(contents, tmp_path / "site")
    n_reads, before = pictures.n_reads, state(tmp_path / "site")
    section = folder / "section.html"
    section.write_text(section.read_text().replace("<h2>Tuning</h2>", "<h2>Tuned</h2>"))
    write_site(dataclasses.replace(contents), tmp_path / "site")
    units = {paths.unit_page(unit) for layer in contents.facts.layers for unit in layer.units}
    assert pictures.n_reads == n_reads + n_for_tour(contents)
    assert changed(before, state(tmp_path / "site")) == units | {record.FILE_NAME}


def test_a_damaged_record_costs_time_only(tmp_path: Path) -> None:
    contents, _ = small()
    write_site(contents, tmp_path)
    before = state(tmp_path)
    (tmp_path / record.FILE_NAME).write_text('{"version": 2, "files": [1')
    write_site(dataclasses.replace(contents), tmp_path)
    assert changed(before, state(tmp_path)) == {record.FILE_NAME}


def test_a_forged_record_removes_nothing_outside(tmp_path: Path) -> None:
    outside = tmp_path / "precious.txt"
    outside.write_text("keep")
    site = tmp_path / "site"
    write_site(small()[0], site)
    forged = json.loads((site / record.FILE_NAME).read_text())
    forged["files"] |= {"../precious.txt": ["", 4], str(outside): ["", 4]}
    (site / record.FILE_NAME).write_text(json.dumps(forged))
    write_site(small()[0], site)
    assert outside.read_text() == "keep"


def test_progress_reaches_the_total(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    report = write_site(
        small()[0], tmp_path, progress=lambda done, total: seen.append((done, total))
    )
    assert seen[-1] == (report.n_files, report.n_files)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_the_same_bytes_for_two_hash_seeds_and_without_torch(tmp_path: Path) -> None:
    program = (
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        "import pathlib, site_factory\n"
        "from atlas.site.writer import write_site\n"
        "contents, _ = site_factory.contents(site_factory.network(n_blocks=(1,)))\n"
        "write_site(contents, pathlib.Path(sys.argv[1]))\n"
        "assert 'torch' not in sys.modules\n"
    )
    for seed in ("1", "2"):
        subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / seed), str(ROOT), str(ROOT / "tests")],
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )
    assert digests(tmp_path / "1") == digests(tmp_path / "2")


def test_another_site_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<h1>My home page</h1>")
    with pytest.raises(SiteError, match="not an atlas"):
        write_site(small()[0], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]


@pytest.mark.parametrize("folder", [ROOT, ROOT.parent, ROOT / "templates" / "x"])
def test_the_program_is_not_written_over(folder: Path) -> None:
    with pytest.raises(SiteError, match="program itself"):
        write_site(small()[0], folder)


def test_a_file_in_place_of_the_folder_is_explained(tmp_path: Path) -> None:
    (tmp_path / "site").write_text("")
    for out_dir in (tmp_path / "site", tmp_path / "site" / "deeper"):
        with pytest.raises(SiteError, match="--out") as caught:
            write_site(small()[0], out_dir)
        assert "\n" not in str(caught.value)


def test_a_full_disk_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(record, "write_whole", full)
    with pytest.raises(SiteError, match="free some space"):
        write_site(small()[0], tmp_path)


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    contents, pictures = small()
    for key in pictures.data:
        pictures.data[key] = b"damaged"
    with pytest.raises(SiteError, match=r"a picture for .*\.webp cannot be read"):
        write_site(contents, tmp_path)


def test_an_empty_atlas_is_a_site(tmp_path: Path) -> None:
    contents, _ = small()
    report = write_site(dataclasses.replace(contents, entries={}), tmp_path)
    assert report.n_pages == len(contents.facts.layers) + 8
