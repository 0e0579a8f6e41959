"""Batches: their sizes, out-of-memory, and what is kept when work stops."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from atlas import engine as engine_module
from atlas.engine import Engine, batch_size, fastest_precision, find_device
from atlas.errors import DeviceError
from atlas.network import Network
from atlas.pictures.picture import Picture
from atlas.plan import make_plan
from atlas.spec import AtlasSpec, Fourier, Selection, Stage

GREY = np.full((8, 8, 3), 128, np.uint8)


def excitatory_jobs(network: Network, **selection):
    spec = AtlasSpec(preset="preview", selection=Selection(**selection))
    return [job for job in make_plan(spec, network.facts, ()).asked if job.kind == "excitatory"]


@pytest.fixture
def batches(monkeypatch):
    """Stands in for the ascent: remembers each batch, runs out of memory above `limit`."""
    seen: list[int] = []

    def render_units(_fast, _exact, units, _recipe):
        seen.append(len(units))
        if len(units) > render_units.limit:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return [Picture(unit, GREY, {"z": 1.0}) for unit in units]

    render_units.limit = 1 << 30
    render_units.seen = seen
    monkeypatch.setattr(engine_module, "render_units", render_units)
    return render_units


def run(network: Network, jobs) -> list[list[str]]:
    committed: list[list[str]] = []
    with Engine(network) as engine:
        engine.run(jobs, lambda artifacts: committed.append([a.unit for a in artifacts]))
    return committed


def test_batches_shrink_with_the_canvas():
    small, large = (
        Fourier(stages=(Stage(32, 1), Stage(px, 1)), margin_px=0, objective="mean")
        for px in (64, 128)
    )
    assert batch_size(small, 64**2 * 40) == 4 * batch_size(large, 64**2 * 40) == 40
    assert batch_size(large, 1) == 1


def test_out_of_memory_halves_the_batch_and_loses_no_unit(planted: Network, batches):
    batches.limit = 2
    jobs = excitatory_jobs(planted, layers=("layer1.*",))
    committed = run(planted, jobs)
    assert batches.seen[:3] == [4, 2, 2]
    rendered = [unit for batch in committed for unit in batch]
    assert rendered == [unit.id for job in jobs for unit in job.units]


def test_one_picture_that_does_not_fit_is_explained(planted: Network, batches):
    batches.limit = 0
    with pytest.raises(DeviceError, match=r"one picture of conv1 .* --preset"):
        run(planted, excitatory_jobs(planted, layers=("conv1",)))


def test_other_errors_are_not_taken_for_out_of_memory(planted: Network, monkeypatch):
    def broken(*_):
        raise RuntimeError("shapes cannot be multiplied")

    monkeypatch.setattr(engine_module, "render_units", broken)
    with pytest.raises(RuntimeError, match="multiplied"):
        run(planted, excitatory_jobs(planted, layers=("conv1",)))


def test_what_was_rendered_before_an_interruption_is_committed(planted: Network, monkeypatch):
    def render_units(_fast, _exact, units, _recipe):
        if units[0].layer == "layer1.0.conv2":
            raise KeyboardInterrupt
        return [Picture(unit, GREY, {}) for unit in units]

    monkeypatch.setattr(engine_module, "render_units", render_units)
    committed: list[str] = []
    with Engine(planted) as engine, pytest.raises(KeyboardInterrupt):
        jobs = excitatory_jobs(planted)
        engine.run(jobs, lambda artifacts: committed.extend(a.unit for a in artifacts))
    expected = [unit.id for job in jobs[:2] for unit in job.units]
    assert committed == expected


def test_weight_pictures_are_kept_exactly(planted: Network):
    spec = AtlasSpec(selection=Selection(layers=("conv1",)), kinds=("filter",))
    (job,) = make_plan(spec, planted.facts, ()).asked
    artifacts = []
    with Engine(planted) as engine:
        engine.run([job], artifacts.extend)
    pixels = np.asarray(Image.open(io.BytesIO(artifacts[0].data)))
    kernel = planted.weight(job.layer)[0].numpy()
    share = (kernel - kernel.min()) / (kernel.max() - kernel.min())
    factor = pixels.shape[0] // 11
    expected = np.rint(share.transpose(1, 2, 0) * 255)
    np.testing.assert_array_equal(pixels[::factor, ::factor], expected)


def test_artifacts_say_what_was_measured(planted: Network):
    jobs = excitatory_jobs(planted, layers=("conv1",))
    artifacts = []
    with Engine(planted) as engine:
        engine.run(jobs, artifacts.extend)
    assert [a.unit for a in artifacts] == [u.id for u in jobs[0].units]
    assert [a.key for a in artifacts] == list(jobs[0].keys)
    assert all(a.seconds > 0 and a.width_px == jobs[0].spec.picture_px for a in artifacts)


def test_the_precision_is_one_that_this_device_is_fast_in():
    assert fastest_precision(torch.device("cpu")) in ("float32", "bfloat16")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_named_with_what_is():
    with pytest.raises(DeviceError, match=r"cuda:3.*there is cpu"):
        find_device("cuda:3")
