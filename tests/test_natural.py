"""The pass over photographs finds what was planted in them, also when it is interrupted."""

from __future__ import annotations

import io
import os
import random
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import GABOR_ANGLE_DEG, GABOR_PERIOD_PX, IMAGE_PX, seen_as
from PIL import Image

from atlas.decoding import DAMAGED
from atlas.errors import CacheError, ImagesError
from atlas.images import ImageFolder
from atlas.kinds.examples import ExamplesSpec, StripLayout
from atlas.kinds.examples.make import example_sheets
from atlas.kinds.natural import NaturalRecord, NaturalSpec
from atlas.kinds.natural import make as natural
from atlas.kinds.natural.album import Album
from atlas.kinds.natural.answers import LayerAnswers, Top
from atlas.kinds.natural.make import natural_panels
from atlas.kinds.natural.tally import Tally
from atlas.kinds.natural.window import window_of
from atlas.network.network import Network
from atlas.records import from_json, to_json

SIDE_PX = round(IMAGE_PX * 8 / 7)
SEEN_AS = seen_as(IMAGE_PX)
SPEC = NaturalSpec("0" * 64, SEEN_AS)
RED_UNIT, GABOR_UNIT, DEAD_UNIT = 2, 0, 3


def grating() -> np.ndarray:
    """As the planted unit wants it, large enough to be cut to the network's input."""
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX]
    angle = np.radians(GABOR_ANGLE_DEG)
    across = x * np.cos(angle) + y * np.sin(angle)
    wave = np.cos(2 * np.pi * across / GABOR_PERIOD_PX)
    return np.repeat(np.rint(127.5 + 120 * wave).astype(np.uint8)[..., None], 3, axis=2)


def save(folder: Path, name: str, colour: tuple[int, int, int]) -> None:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", (SIDE_PX, SIDE_PX), colour).save(path)


@pytest.fixture
def photographs(tmp_path: Path) -> ImageFolder:
    """Grey, a grating, a red and a green field, and a file that is no image."""
    save(tmp_path, "grey.png", (128, 128, 128))
    save(tmp_path, "red.png", (250, 10, 10))
    save(tmp_path, "green.png", (10, 250, 10))
    Image.fromarray(grating()).save(tmp_path / "grating.png")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff not a photograph")
    return ImageFolder.of(tmp_path)


@pytest.fixture
def reds(tmp_path: Path) -> ImageFolder:
    """Twenty shades from green over grey to red, in two classes: the reds and the greens."""
    for step in range(20):
        level = round(250 * step / 19)
        label = "red" if step >= 10 else "green"
        save(tmp_path, f"{label}/{step:02d}.png", (level, 250 - level, 128))
    return ImageFolder.of(tmp_path)


def first_layer(network: Network, photographs: ImageFolder, **options):
    watch = network.watch(network.facts.layers[:1])
    (panel,) = natural_panels(watch, photographs, SPEC, **options)
    return panel


def test_the_best_photograph_of_a_unit_is_found(planted: Network, photographs: ImageFolder):
    panels = natural_panels(planted.watch(planted.facts.layers), photographs, SPEC)
    assert [panel.unit.id for panel in panels] == [layer.name for layer in planted.facts.layers]
    record = panels[0].record
    assert record.highest_file[:3] == ["grating.png", "grating.png", "red.png"]
    assert record.lowest_file[RED_UNIT] == "green.png"
    assert record.highest[RED_UNIT] == pytest.approx(4 * (250 - 10) / 255 / 0.25, rel=0.01)
    assert (record.n_images, record.skipped) == (4, ["broken.jpg"])
    assert len(record.skipped_because) == 1 and record.skipped_counts == {DAMAGED: 1}
    assert from_json(NaturalRecord, to_json(record, "z"), "z") == record


def test_records_of_earlier_versions_say_how_many_were_skipped():
    text = '{"n_images":3,"n_skipped":1,"skipped":["torn.jpg"],"n_classes":0,"folder_sha256":"0"}'
    record = from_json(NaturalRecord, text, "z")
    assert record.skipped_words == "1 of 4 photographs were skipped (torn.jpg)"


def test_no_readable_photograph_is_said_and_nothing_made_up(planted: Network, tmp_path: Path):
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(
        ImagesError, match=r"no photograph can be used: 1 of 1 .*broken\.png: no im"
    ):
        first_layer(planted, ImageFolder.of(tmp_path))


def test_the_strongest_nine_come_in_order_with_their_files(planted: Network, reds: ImageFolder):
    record = first_layer(planted, reds).record
    top = record.top[RED_UNIT]
    assert [record.files[file] for file, *_ in top] == [
        f"red/{step:02d}.png" for step in range(19, 10, -1)
    ]
    answers = [answer for *_, answer in top]
    assert answers == sorted(answers, reverse=True)
    assert answers[0] == pytest.approx(record.highest[RED_UNIT], abs=0.006)


def test_the_spread_runs_from_strong_over_middle_to_weak(planted: Network, reds: ImageFolder):
    record = first_layer(planted, reds).record
    steps = [int(record.files[file][-6:-4]) for file, *_ in record.spread[RED_UNIT]]
    assert steps == [17, 10, 2]  # ranks 0.9, 0.5 and 0.1 of 19


def test_how_often_a_unit_fires_is_the_share_of_images(planted: Network, reds: ImageFolder):
    record = first_layer(planted, reds).record
    assert record.fires[RED_UNIT] == 0.5  # red above green: ten of twenty
    assert record.active[RED_UNIT] == pytest.approx(0.5, abs=0.01)  # of uniform fields
    assert record.fires[DEAD_UNIT] == 0


def test_a_class_fires_where_it_is_the_answer(planted: Network, reds: ImageFolder):
    layer = planted.facts.layers[-1]
    (panel,) = natural_panels(planted.watch([layer]), reds, SPEC)
    assert sum(panel.record.fires) == pytest.approx(1, abs=1e-3)


def test_class_selectivity_is_that_of_the_means_by_hand(planted: Network, reds: ImageFolder):
    record = first_layer(planted, reds).record
    answers = np.maximum(np.load(io.BytesIO(first_layer(planted, reds).data))[:, RED_UNIT], 0)
    green, red = answers[:10].mean(), answers[10:].mean()
    expected = (red - green) / (red + green)
    assert record.selectivity[RED_UNIT] == pytest.approx(expected, abs=2e-3)
    assert record.classes[record.favourite[RED_UNIT]] == "red"
    assert record.selectivity[DEAD_UNIT] is None
    of_file = [record.classes[each] for each in record.file_classes]
    assert of_file == [file.partition("/")[0] for file in record.files]


def test_one_folder_is_no_class(planted: Network, photographs: ImageFolder):
    record = first_layer(planted, photographs).record
    assert record.selectivity is None and record.n_classes == 0


def test_the_sample_is_bounded_and_the_same_for_all_layers(planted: Network, reds: ImageFolder):
    spec = NaturalSpec("0" * 64, SEEN_AS, n_sampled=7)
    panels = natural_panels(planted.watch(planted.facts.layers), reds, spec)
    shapes = {np.load(io.BytesIO(panel.data)).shape[0] for panel in panels}
    assert shapes == {7}


class Remembered:
    """A checkpoint in memory."""

    data: bytes | None = None

    def load(self) -> bytes | None:
        return self.data

    def save(self, data: bytes) -> None:
        self.data = data

    def drop(self) -> None:
        self.data = None


@pytest.mark.parametrize("where", ["between batches", "inside a batch"])
def test_an_interrupted_pass_goes_on_and_finds_the_same(
    planted: Network, reds: ImageFolder, monkeypatch, where: str
):
    monkeypatch.setattr(natural, "CPU_BATCH", 3)
    layers = planted.facts.layers
    expected = natural_panels(planted.watch(layers), reds, SPEC)
    checkpoint, taken = Remembered(), []
    change = LayerAnswers.change

    def interrupted_change(answers, *args):
        if where == "inside a batch" and len(taken) == 3 and answers.reader.layer.index == 2:
            raise KeyboardInterrupt
        return change(answers, *args)

    def progress(n_files: int, *, is_new: bool = True) -> None:
        taken.append(n_files)
        if where == "between batches" and len(taken) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(LayerAnswers, "change", interrupted_change)
    with pytest.raises(KeyboardInterrupt):
        natural_panels(planted.watch(layers), reds, SPEC, checkpoint, progress)
    monkeypatch.setattr(LayerAnswers, "change", change)
    again: list[tuple[int, bool]] = []

    def told(n_files: int, *, is_new: bool = True) -> None:
        again.append((n_files, is_new))

    panels = natural_panels(planted.watch(layers), reds, SPEC, checkpoint, told)
    assert again[0] == (9, False)  # three batches are not shown again
    assert all(is_new for _, is_new in again[1:])
    assert sum(n_files for n_files, _ in again) == 20
    assert [panel.record for panel in panels] == [panel.record for panel in expected]
    assert [panel.data for panel in panels] == [panel.data for panel in expected]


def test_ctrl_c_while_a_batch_is_counted_waits_until_it_counts_for_all_layers(
    planted: Network, reds: ImageFolder, monkeypatch
):
    monkeypatch.setattr(natural, "CPU_BATCH", 3)
    watch = planted.watch(planted.facts.layers)
    expected = natural_panels(watch, reds, SPEC)
    apply, checkpoint = LayerAnswers.apply, Remembered()

    def interrupted_apply(answers, change):
        if answers.reader.layer.index == 2:
            os.kill(os.getpid(), signal.SIGINT)
        apply(answers, change)

    for n_done in (3, 6):
        monkeypatch.setattr(LayerAnswers, "apply", interrupted_apply)
        with pytest.raises(KeyboardInterrupt):
            natural_panels(watch, reds, SPEC, checkpoint)
        assert Tally.from_bytes(checkpoint.data).spans == ((0, n_done),)
    monkeypatch.setattr(LayerAnswers, "apply", apply)
    panels = natural_panels(watch, reds, SPEC, checkpoint)
    assert [panel.record for panel in panels] == [panel.record for panel in expected]


def test_a_checkpoint_that_is_damaged_anywhere_is_dropped_with_a_word(
    planted: Network, photographs: ImageFolder, capsys
):
    expected, checkpoint = first_layer(planted, photographs), Remembered()
    first_layer(planted, photographs, checkpoint=checkpoint)
    whole, n_dropped, chance = checkpoint.data, 0, random.Random(0)
    starts = [chance.randrange(len(whole) - 8) for _ in range(60)]
    changed = [whole[:start] + chance.randbytes(8) + whole[start + 8 :] for start in starts]
    for damaged in (b"", b"text", whole[:-30], *changed):
        checkpoint.data = damaged
        panel = first_layer(planted, photographs, checkpoint=checkpoint)
        assert (panel.record, panel.data) == (expected.record, expected.data)
        n_dropped += "is damaged" in capsys.readouterr().err
    assert n_dropped > 40


def test_the_largest_answers_are_kept_whatever_the_order_of_batches():
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(40, 5, generator=generator)
    top = Top(9, 5, torch.device("cpu"))
    for rows in torch.randperm(40, generator=generator).split(7):
        top = top.with_batch(values[rows], rows, rows[:, None].expand(-1, 5) * 2)
    expected = values.sort(0, descending=True)
    assert torch.equal(top.values, expected.values[:9])
    assert torch.equal(top.images, expected.indices[:9])
    assert torch.equal(top.places, expected.indices[:9] * 2)


def test_the_example_is_the_receptive_field_where_the_pattern_was_planted(
    planted: Network, tmp_path: Path
):
    """A grey image with a patch of the grating, and plain grey ones."""
    for name in ("a", "b", "c"):
        save(tmp_path, f"{name}.png", (128, 128, 128))
    image = np.full((SIDE_PX, SIDE_PX, 3), 128, np.uint8)
    top, left, field_px = 29, 14, 11
    image[top : top + field_px, left : left + field_px] = grating()[:field_px, :field_px]
    Image.fromarray(image).save(tmp_path / "planted.png")
    photographs = ImageFolder.of(tmp_path)
    layer = planted.facts.layers[0]
    record = first_layer(planted, photographs).record
    file, row, column, _ = record.top[GABOR_UNIT][0]
    assert record.files[file] == "planted.png"
    found_top, found_left, side_px = window_of(layer, IMAGE_PX, row, column)
    rim_px = (SIDE_PX - IMAGE_PX) / 2
    assert side_px == field_px
    assert abs(found_top + rim_px - top) <= 3 and abs(found_left + rim_px - left) <= 3
    album = Album(photographs, SEEN_AS)
    spec = ExamplesSpec(IMAGE_PX)
    (sheet,) = example_sheets(layer, layer.units[:1], record, album, spec)
    left, top = spec.layout(layer).corner_px(0, 0)
    cell = sheet.pixels[top : top + field_px, left : left + field_px]
    shown = album.get("planted.png")[found_top:, found_left:][:field_px, :field_px]
    np.testing.assert_array_equal(cell, shown)
    assert sheet.pixels.shape == (3 * 39, 3 * 51, 3)


def test_a_strip_keeps_its_shape_and_holds_all_its_examples():
    for side_px, size_px in ((56, (238, 182)), (7, (34, 26)), (19, (85, 65))):
        layout = StripLayout(side_px)
        assert layout.size_px == size_px
        left, top = layout.corner_px(0, 0)
        right, bottom = (at + side_px for at in layout.corner_px(2, 3))
        assert left >= 0 and top >= 0
        assert size_px[0] - right in (left, left + 1) and size_px[1] - bottom in (top, top + 1)


def test_windows_stay_inside_the_image_and_cover_what_they_must(planted: Network):
    first, last = planted.facts.layers[0], planted.facts.layers[-1]
    assert window_of(first, IMAGE_PX, 20, 30) == (15, 25, 11)  # around the position
    assert window_of(first, IMAGE_PX, 0, 47) == (0, 37, 11)
    assert window_of(last, IMAGE_PX, 0, 0) == (0, 0, IMAGE_PX)


def test_a_photograph_that_has_gone_is_named(tmp_path: Path):
    save(tmp_path, "a.png", (1, 2, 3))
    photographs = ImageFolder.of(tmp_path)
    (tmp_path / "a.png").unlink()
    with pytest.raises(ImagesError, match=r"cannot read .*a\.png now: No such file.*put it back"):
        Album(photographs, seen_as(32)).get("a.png")
    (tmp_path / "a.png").write_text("text")
    with pytest.raises(CacheError, match=r"a\.png was an image .*put it back"):
        Album(photographs, seen_as(32)).get("a.png")
