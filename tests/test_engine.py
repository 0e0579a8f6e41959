"""Batches: their sizes, out-of-memory, and what is kept when work stops."""

from __future__ import annotations

import dataclasses
import io
import json
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import IMAGE_PX, HiddenLinear, make_network, randomise
from PIL import Image
from torch import nn
from torchvision import models

from atlas import devices as devices_module
from atlas import renderer as renderer_module
from atlas.asked import AtlasSpec, Selection
from atlas.batch_sizes import CPU_BATCH_PX, MAX_BATCH
from atlas.batching import Batching, one_step
from atlas.cache import Cache
from atlas.devices import fastest_precision, find_device, what_it_lacks
from atlas.engine import Engine
from atlas.errors import DeviceError
from atlas.images import ImageFolder
from atlas.kinds.excitatory import ExcitatoryRecord
from atlas.kinds.natural import NaturalRecord
from atlas.kinds.photographs import PhotographsRecord
from atlas.kinds.similar import SimilarRecord
from atlas.network.network import Network
from atlas.pictures.picture import Picture
from atlas.plan import Job, Plan, make_plan, remaining
from atlas.recipes import Fourier, Progressive, Stage
from atlas.records import from_json

GREY = np.full((8, 8, 3), 128, np.uint8)


def excitatory_jobs(network: Network, **selection) -> list[Job]:
    asked = AtlasSpec(preset="preview", selection=Selection(**selection), kinds=("excitatory",))
    return list(make_plan(asked, network.facts, ()).asked)


@pytest.fixture
def batches(monkeypatch):
    """Stands in for the ascent: remembers each batch, runs out of memory above `limit`."""
    seen: list[int] = []

    def ascend(_fast, units, _recipe, _on_step):
        seen.append(len(units))
        if len(units) > ascend.limit:
            raise torch.OutOfMemoryError("CUDA out of memory")

    ascend.limit = 1 << 30
    ascend.seen = seen
    monkeypatch.setattr(renderer_module, "ascend", ascend)
    monkeypatch.setattr(renderer_module, "finish", grey_pictures)
    return ascend


def grey_pictures(_ascent, units, _tap, record, **_) -> list[Picture]:
    return [Picture(unit, GREY, record(score=1.0)) for unit in units]


def run(network: Network, cache: Cache, jobs) -> list[list[str]]:
    committed: list[list[str]] = []
    with Engine(network, cache) as engine:
        engine.run(jobs, lambda artifacts: committed.append([a.unit for a in artifacts]))
    return committed


def fourier(*sizes_px: int) -> Fourier:
    return Fourier(tuple(Stage(px, 9) for px in sizes_px), margin_px=0, objective="mean")


def test_batches_shrink_with_the_largest_canvas_and_never_to_nothing(planted: Network):
    layer = planted.facts.layers[1]
    tap, batching = planted.tap(layer, "float32"), Batching(torch.device("cpu"), planted.facts)

    def size(*sizes_px: int) -> int:
        return batching.size(tap, layer.units, fourier(*sizes_px))

    assert size(32, 112) == 4 * size(32, 224) == CPU_BATCH_PX // 112**2
    assert size(5000) == 1
    batching.halve()
    assert size(112) == CPU_BATCH_PX // 112**2 // 2


def test_a_network_of_large_maps_is_given_fewer_images_at_once():
    """As many bytes as ResNet-50 takes, whose batches are as large as the canvas allows."""

    def smallest_batch(model: nn.Module, canvas_px: int) -> int:
        facts, recipe = make_network(model, 224).facts, fourier(canvas_px)
        size = Batching(torch.device("cpu"), facts).size
        return min(size(SimpleNamespace(layer=each), each.units, recipe) for each in facts.layers)

    resnet = models.resnet50()
    assert smallest_batch(resnet, 224) == 24
    assert smallest_batch(resnet, 64) == min(MAX_BATCH, CPU_BATCH_PX // 64**2)
    assert 8 < smallest_batch(models.vgg11_bn().features, 224) < 24


def test_what_is_tried_for_its_memory_is_the_dearest_step():
    assert one_step(fourier(64, 96)).stages == (Stage(96, 1),)
    windows = dataclasses.replace(
        fourier(64, 96), stages=(Stage(64, 9), Stage(96, 9, window_px=48), Stage(112, 9, 72))
    )
    assert one_step(windows).stages == (Stage(112, 1, window_px=72),)
    recipe = Progressive(n_scales=15, blur_px=5)
    assert one_step(recipe).canvas_px == recipe.canvas_px
    assert one_step(recipe).steps == one_step(recipe).n_scales == 1


def test_out_of_memory_halves_the_batch_and_loses_no_unit(planted: Network, cache: Cache, batches):
    batches.limit = 2
    jobs = excitatory_jobs(planted, layers=("layer1.*",))
    committed = run(planted, cache, jobs)
    assert batches.seen[:3] == [4, 2, 2]
    rendered = [unit for batch in committed for unit in batch]
    assert rendered == [unit.id for job in jobs for unit in job.units]


def test_what_an_interruption_left_is_made_in_the_batches_that_it_would_have_been_in(
    planted: Network, cache: Cache, batches, monkeypatch
):
    monkeypatch.setattr(Batching, "size", lambda *_: 2)
    monkeypatch.setattr(Batching, "first_size", lambda *_: 1)
    jobs = excitatory_jobs(planted, layers=("conv1",))
    whole = run(planted, cache, jobs)
    assert list(map(len, whole)) == [1, 2, 1]
    for n_done in (1, 2):
        done = set(jobs[0].keys[: sum(map(len, whole[:n_done]))])
        left = remaining(Plan(tuple(jobs), ()), done).missing
        assert run(planted, cache, left) == whole[n_done:]


def test_working_ahead_as_for_a_gpu_hands_out_the_same_batches_in_order(
    planted, cache: Cache, batches
):
    jobs = excitatory_jobs(planted)
    expected = run(planted, cache, jobs)
    committed: list[list[str]] = []
    with Engine(planted, cache) as engine:
        engine._n_ahead = 2
        engine.run(jobs, lambda artifacts: committed.append([a.unit for a in artifacts]))
    assert committed == expected


def test_a_gpu_has_work_before_the_host_draws_weights(planted: Network, cache: Cache, batches):
    spec = AtlasSpec(preset="preview", kinds=("filter", "excitatory"))
    jobs = make_plan(spec, planted.facts, ()).asked
    committed: list[tuple[str, ...]] = []
    with Engine(planted, cache) as engine:
        engine._n_ahead = 1
        launched = [launch.kind.name for launch in engine._launches(jobs)]
        engine.run(jobs, lambda made: committed.extend((each.kind, each.unit) for each in made))
    n_layers = len(planted.facts.layers)
    assert launched == ["excitatory", "filter"] * n_layers
    assert sorted(committed) == sorted(
        (job.kind.name, unit.id) for job in jobs for unit in job.units
    )


def test_one_picture_that_does_not_fit_is_explained(planted: Network, cache: Cache, batches):
    batches.limit = 0
    with pytest.raises(DeviceError, match=r"one picture of conv1 .* --preset"):
        run(planted, cache, excitatory_jobs(planted, layers=("conv1",)))


def test_other_errors_are_not_taken_for_out_of_memory(planted: Network, cache: Cache, monkeypatch):
    def broken(*_):
        raise RuntimeError("shapes cannot be multiplied")

    monkeypatch.setattr(renderer_module, "ascend", broken)
    with pytest.raises(RuntimeError, match="multiplied"):
        run(planted, cache, excitatory_jobs(planted, layers=("conv1",)))


def test_what_was_rendered_before_an_interruption_is_committed(
    planted: Network, cache: Cache, monkeypatch
):
    def ascend(_fast, units, _recipe, _on_step):
        if units[0].layer == "layer1.0.conv2":
            raise KeyboardInterrupt

    monkeypatch.setattr(renderer_module, "ascend", ascend)
    monkeypatch.setattr(renderer_module, "finish", grey_pictures)
    committed: list[str] = []
    with Engine(planted, cache) as engine, pytest.raises(KeyboardInterrupt):
        jobs = excitatory_jobs(planted)
        engine.run(jobs, lambda artifacts: committed.extend(a.unit for a in artifacts))
    expected = [unit.id for job in jobs[:2] for unit in job.units]
    assert committed == expected


def test_weight_pictures_are_kept_exactly(planted: Network, cache: Cache):
    spec = AtlasSpec(selection=Selection(layers=("conv1",)), kinds=("filter",))
    (job,) = make_plan(spec, planted.facts, ()).asked
    artifacts = []
    with Engine(planted, cache) as engine:
        engine.run([job], artifacts.extend)
    pixels = np.asarray(Image.open(io.BytesIO(artifacts[0].data)))
    kernel = planted.weight(job.layer)[0].numpy()
    share = (kernel - kernel.min()) / (kernel.max() - kernel.min())
    factor = pixels.shape[0] // 11
    expected = np.rint(share.transpose(1, 2, 0) * 255)
    np.testing.assert_array_equal(pixels[::factor, ::factor], expected)


def test_artifacts_say_what_was_measured(planted: Network, cache: Cache):
    jobs = excitatory_jobs(planted, layers=("conv1",))
    artifacts = []
    with Engine(planted, cache) as engine:
        engine.run(jobs, artifacts.extend)
    assert [a.unit for a in artifacts] == [u.id for u in jobs[0].units]
    assert [a.key for a in artifacts] == list(jobs[0].keys)
    assert all(a.seconds > 0 and a.width_px == jobs[0].spec.picture_px for a in artifacts)


def test_the_precision_is_the_same_whatever_else_the_computer_does():
    """Another precision gives other pictures, so that no two builds would be equal."""
    measured_anew = devices_module._precision_of_cpu.__wrapped__
    alone = measured_anew()
    assert fastest_precision(torch.device("cpu")) == alone
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4)]
    try:
        assert {measured_anew() for _ in range(10)} == {alone}
    finally:
        for process in busy:
            process.kill()
            process.wait()


@pytest.mark.parametrize(
    ("capability", "precision"), [((7, 5), "float32"), ((8, 0), "bfloat16"), ((9, 0), "bfloat16")]
)
def test_gpus_that_only_imitate_half_precision_compute_in_single(
    monkeypatch, capability, precision
):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert fastest_precision(torch.device("cuda")) == precision


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_named_with_what_is():
    with pytest.raises(DeviceError, match=r"cuda:3.*there is cpu"):
        find_device("cuda:3")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_mac_without_the_gradients_of_an_ascent_computes_on_its_processor(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert what_it_lacks(torch.device("mps"))  # here: everything
    assert find_device("auto") == torch.device("cpu")


def test_a_device_that_lacks_something_is_refused_with_what_it_lacks(monkeypatch):
    assert what_it_lacks(torch.device("cpu")) is None

    def not_there(*_):
        raise NotImplementedError("The operator 'grid_sampler' is not implemented. If you want it")

    monkeypatch.setattr(devices_module, "jittered", not_there)
    with pytest.raises(
        DeviceError, match=r"\(The operator 'grid_sampler' is not implemented\); use"
    ):
        find_device("cpu")


def build(network: Network, cache: Cache, asked: AtlasSpec, images: ImageFolder | None = None):
    """Make all that is missing; returns each batch's artifacts, in the order of committing."""
    batches = []

    def commit(batch):
        cache.put(batch)
        batches.append(batch)

    with Engine(network, cache, images) as engine:
        engine.run(make_plan(asked, network.facts, cache.keys()).missing, commit)
    return batches


def test_numbers_are_read_from_the_cache_as_they_were_measured(planted: Network, cache: Cache):
    selection = Selection(layers=("conv1",))
    asked = AtlasSpec(preset="preview", selection=selection, kinds=("excitatory",))
    (batch,) = build(planted, cache, asked)
    entry = cache.entries([batch[0].key])[batch[0].key]
    record = entry.record(ExcitatoryRecord, "z")
    numbers = json.loads(batch[0].numbers_json)
    assert (record.score, record.highest) == (numbers["z"], numbers["z_max"])
    assert record.score > record.start and not record.dead
    dead = cache.entries([batch[3].key])[batch[3].key]
    assert dead.record(ExcitatoryRecord, "z").dead


def test_examples_alone_are_made_from_nothing_but_photographs(
    planted: Network, cache: Cache, tmp_path: Path
):
    folder = tmp_path / "photographs"
    folder.mkdir()
    colours = {"red": (250, 10, 10), "green": (10, 250, 10), "blue": (10, 10, 250)}
    for name, colour in colours.items():
        Image.new("RGB", (IMAGE_PX, IMAGE_PX), colour).save(folder / f"{name}.png")
    images = ImageFolder.of(folder)
    asked = AtlasSpec(kinds=("examples",), images_sha256=images.sha256)
    made = [each for batch in build(planted, cache, asked, images) for each in batch]
    n_layers = len(planted.facts.layers)
    assert [each.kind for each in made] == ["natural"] * n_layers + ["examples"] * n_layers
    assert make_plan(asked, planted.facts, cache.keys()).n_missing == 0

    answers = cache.of_kind("natural")[0].record(NaturalRecord, "z")
    assert answers.best(2) == "red.png"  # unit 2 is red against green
    sheet = np.asarray(Image.open(io.BytesIO(made[n_layers].data)).convert("RGB"))
    (shown,) = {job.spec for job in make_plan(asked, planted.facts, ()).asked[n_layers:]}
    layout = shown.layout(planted.facts.layers[0])
    width, _ = layout.size_px
    x, y = layout.corner_px(0, 0)
    best = sheet[y : y + layout.side_px, 2 * width + x : 2 * width + x + layout.side_px]
    np.testing.assert_allclose(best.reshape(-1, 3).mean(0), colours["red"], atol=1)


def test_each_photograph_that_a_unit_is_shown_with_is_kept_whole_once(
    planted: Network, cache: Cache, tmp_path: Path
):
    colours = {"blue": (10, 10, 250), "green": (10, 250, 10), "red": (250, 10, 10)}
    for name, colour in colours.items():
        Image.new("RGB", (IMAGE_PX, IMAGE_PX), colour).save(tmp_path / f"{name}.png")
    images = ImageFolder.of(tmp_path)
    asked = AtlasSpec(kinds=("photographs",), images_sha256=images.sha256, n_images=3)
    (made,) = [
        each
        for batch in build(planted, cache, asked, images)
        for each in batch
        if each.kind == "photographs"
    ]
    record = from_json(PhotographsRecord, made.numbers_json, "z")
    assert list(record.photographs) == [f"{name}.png" for name in colours]
    assert sum(record.n_bytes) == len(made.data)
    begin = 0
    for n_bytes, colour in zip(record.n_bytes, colours.values(), strict=True):
        with Image.open(io.BytesIO(made.data[begin : begin + n_bytes])) as image:
            assert image.size == (IMAGE_PX, IMAGE_PX)
            mean = np.asarray(image.convert("RGB")).reshape(-1, 3).mean(0)
        np.testing.assert_allclose(mean, colour, atol=4)
        begin += n_bytes


def test_a_comparison_supersedes_the_one_of_fewer_units(seeded: Network, cache: Cache):
    few, more = (
        AtlasSpec(
            preset="preview",
            selection=Selection(layers=layers, units=(range(3),)),
            kinds=("similar",),
        )
        for layers in (("conv1",), ("conv1", "fc"))
    )
    build(seeded, cache, few)
    (old,) = cache.of_kind("similar")
    alone = old.record(SimilarRecord, "z")
    assert alone.across == [[]] * 4
    assert alone.within[3] == [] and any(alone.within)  # the fourth unit has no picture

    build(seeded, cache, more)
    new = {entry.unit: entry for entry in cache.of_kind("similar")}
    assert set(new) == {"conv1", "fc"} and len(cache.of_kind("similar")) == 2
    assert not cache.entries([old.key])
    fc = seeded.facts.layer("fc").index
    across = new["conv1"].record(SimilarRecord, "z").across
    assert {layer for found in across for layer, _, _ in found} == {fc}
    assert make_plan(more, seeded.facts, cache.keys()).n_missing == 0


def test_panels_of_a_hidden_linear_layer_are_in_measured_sigmas(cache: Cache):
    network = make_network(randomise(HiddenLinear()))
    asked = AtlasSpec(selection=Selection(layers=("hidden",)), kinds=("noise", "tuning"))
    made = [each for batch in build(network, cache, asked) for each in batch]
    noise, tuning = (json.loads(each.numbers_json) for each in made)
    assert [each.kind for each in made] == ["noise", "tuning"]
    assert set(noise) == {"n_images", "z", "z_max", "z_min"}
    assert noise["z"] == noise["z_max"] == noise["z_min"]  # of one position
    assert len(noise["z"]) == len(tuning["orientation"]) == 6
    layer, generator = network.facts.layer("hidden"), torch.Generator().manual_seed(0)
    images = torch.rand(16, 3, IMAGE_PX, IMAGE_PX, generator=generator)
    tap = network.tap(layer)
    answers = tap.all_sigmas(tap(tap.normalise(images))).mean((0, 2, 3))
    assert noise["z"] == pytest.approx(answers.tolist(), abs=2e-3)


def test_ctrl_c_while_a_batch_is_encoded_loses_none_of_it(
    planted: Network, cache: Cache, batches, monkeypatch
):
    jobs = excitatory_jobs(planted, layers=("conv1",))
    committed: list[str] = []
    waited: list[bool] = []

    class Interrupted(Future):
        def result(self, timeout=None):
            if not waited:
                waited.append(True)
                raise KeyboardInterrupt
            return super().result(timeout)

    def submit(pool, work, *args):
        future: Future = Interrupted()
        future.set_result(work(*args))
        return future

    monkeypatch.setattr(ThreadPoolExecutor, "submit", submit)
    with Engine(planted, cache) as engine, pytest.raises(KeyboardInterrupt):
        engine.run(jobs, lambda artifacts: committed.extend(a.unit for a in artifacts))
    assert committed == [unit.id for unit in jobs[0].units]
