"""What parts of a set of images gave merges to what one pass gives, however it is split."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import IMAGE_PX, Planted, make_network, seen_as
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from test_natural import Remembered
from torch import Tensor

from atlas.decoding import DAMAGED, Skipped
from atlas.images import ImageFolder
from atlas.kinds.natural import NaturalSpec
from atlas.kinds.natural import make as natural
from atlas.kinds.natural.answers import LayerAnswers
from atlas.kinds.natural.make import natural_panels, tally_of
from atlas.kinds.natural.panels import panels_of
from atlas.kinds.natural.tally import LayerTally, Tally, merge, merged
from atlas.network.network import Network
from atlas.sharding import spans_of

SPEC = NaturalSpec("0" * 64, seen_as(IMAGE_PX), n_top=3, n_sampled=12)
N_IMAGES, N_CLASSES = 24, 3


@pytest.fixture(scope="module")
def watch():
    network = make_network(Planted())
    return network.watch(network.facts.layers[:1])


def folder_of(tmp_path: Path, n_images: int) -> ImageFolder:
    """Shades in two classes; equal ones in both, and one file that is no image."""
    for step in range(n_images):
        level = 60 * (step % 5)
        path = tmp_path / f"{'ab'[step % 2]}/{step:03d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (64, 64), (level, 250 - level, 128)).save(path)
    (tmp_path / "a" / "000.png").write_bytes(b"no image")
    return ImageFolder.of(tmp_path)


def answers_to(watch, z: Tensor, images: list[int]) -> LayerTally:
    """What is kept of responses (n_images, n_units, h, w), given one after the other."""
    answers = LayerAnswers(watch.readers[0], SPEC, N_IMAGES, N_CLASSES)
    for image in images:
        place = torch.tensor([image])
        answers.apply(answers.change(z[image : image + 1], place, place, place % N_CLASSES))
    rows = np.array(images, dtype=np.int64)
    return answers.tally(np.unique(rows % N_CLASSES), rows)


def runs(images: list[int]) -> tuple[tuple[int, int], ...]:
    """The spans that some images are."""
    ends = [nth + 1 for nth in range(len(images)) if images[nth] + 1 not in images]
    return tuple(
        (images[first], images[end - 1] + 1) for first, end in zip([0, *ends], ends, strict=False)
    )


def tally(watch, z: Tensor, images: list[int]) -> Tally:
    """As of single images that were merged; every seventh is skipped."""
    return merged(
        Tally(
            ((image, image + 1),),
            {} if image % 7 else {image: Skipped(DAMAGED, "torn")},
            {"conv1": answers_to(watch, z, [image])},
        )
        for image in images
    )


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(0, 3), min_size=N_IMAGES, max_size=N_IMAGES),
    st.randoms(use_true_random=False),
)
def test_any_split_merged_in_any_order_is_one_pass(watch, seed: int, parts: list[int], chance):
    """Responses are few whole numbers and their tenths, so that many are equal."""
    n_units = watch.readers[0].layer.n_units
    generator = torch.Generator().manual_seed(seed)
    z = torch.randint(-3, 4, (N_IMAGES, n_units, 2, 3), generator=generator) / 10
    z[:, 0] = z[:, 0].round()  # equal everywhere
    images = {part: [nth for nth, each in enumerate(parts) if each == part] for part in set(parts)}
    tallies = [
        Tally(runs(own), {}, {"conv1": answers_to(watch, z, own)}) for own in images.values()
    ]
    while len(tallies) > 1:
        chance.shuffle(tallies)
        tallies.append(merge(tallies.pop(), tallies.pop()))
    whole = Tally(((0, N_IMAGES),), {}, {"conv1": answers_to(watch, z, list(range(N_IMAGES)))})
    assert tallies[0].spans == whole.spans
    assert tallies[0].to_bytes() == whole.to_bytes()


def test_parts_of_a_folder_give_the_panels_of_one_pass_byte_for_byte(
    planted: Network, tmp_path: Path, monkeypatch
):
    monkeypatch.setattr(natural, "CPU_BATCH", 4)
    photographs, layers = folder_of(tmp_path, 30), planted.facts.layers
    watch = planted.watch(layers)
    expected = natural_panels(watch, photographs, SPEC)
    spans = spans_of(len(photographs.files), 3, 4)
    parts = [tally_of(watch, photographs, SPEC, span) for span in (spans[2], spans[0], spans[1])]
    sent = [pickle.loads(pickle.dumps(part)) for part in parts[:2]]
    kept = Tally.from_bytes(parts[2].to_bytes())
    panels = panels_of(merged([*sent, kept]), layers, photographs, SPEC)
    assert [panel.record for panel in panels] == [panel.record for panel in expected]
    assert [panel.data for panel in panels] == [panel.data for panel in expected]
    assert panels[0].record.skipped == ["a/000.png"]
    with pytest.raises(ValueError, match="not of all photographs"):
        panels_of(merged(sent), layers, photographs, SPEC)


def test_an_image_in_two_tallies_is_refused(watch):
    z = torch.zeros(N_IMAGES, watch.readers[0].layer.n_units, 1, 1)
    with pytest.raises(ValueError, match="image 2 is in two tallies"):
        merge(tally(watch, z, [1, 2]), tally(watch, z, [2, 3]))


def test_what_was_skipped_is_listed_in_order(watch):
    z = torch.zeros(N_IMAGES, watch.readers[0].layer.n_units, 1, 1)
    one, other = tally(watch, z, [7, 8, 14]), tally(watch, z, [0, 1])
    assert list(merge(one, other).skipped) == [0, 7, 14]
    assert merge(one, other).spans == ((0, 2), (7, 9), (14, 15))


def test_a_part_that_is_interrupted_goes_on_and_is_the_same(
    planted: Network, tmp_path: Path, monkeypatch
):
    monkeypatch.setattr(natural, "CPU_BATCH", 4)
    photographs, watch = folder_of(tmp_path, 30), planted.watch(planted.facts.layers)
    expected = tally_of(watch, photographs, SPEC, range(8, 28))
    checkpoint, told = Remembered(), []

    def progress(n_files: int, *, is_new: bool = True) -> None:
        told.append((n_files, is_new))
        if len(told) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tally_of(watch, photographs, SPEC, range(8, 28), checkpoint, progress)
    part = tally_of(watch, photographs, SPEC, range(8, 28), checkpoint, progress)
    assert told[3] == (12, False)
    assert part.to_bytes() == expected.to_bytes()
    elsewhere = tally_of(watch, photographs, SPEC, range(0, 28), checkpoint)
    assert elsewhere.spans == ((0, 28),)  # a state of other photographs is not taken
