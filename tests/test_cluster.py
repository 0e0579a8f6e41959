"""Real workers of Ray: the same bytes as one process makes, whoever dies, hangs or cannot do it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import ray
import torch
import troubled
from troubled import DeadlyImages, TroubledSpec, troubled_kind

from atlas import paths
from atlas.asked import AtlasSpec, Selection
from atlas.catalogue import CATALOGUE, Catalogue
from atlas.cluster import Cluster
from atlas.cluster.board import read_board
from atlas.cluster.messages import Setup
from atlas.cluster.ray_environment import (
    VISIBLE_DEVICES,
    key_variables,
    set_environment,
    sigterm_handler_kept,
    visible_devices,
)
from atlas.cluster.ray_workers import RayWorkers, _reason
from atlas.cluster.resources import Resources, device_resources, n_workers_on, node_resources
from atlas.errors import DeviceError, SpecError
from atlas.images import ImageSet, ImagesOf
from atlas.kinds import KINDS
from atlas.kinds.kind import Kind
from atlas.pipeline import Atlas, BuildReport
from atlas.places import Places
from atlas.progress import SILENT
from atlas.units import Preprocessing, Unit

ROOT = Path(__file__).resolve().parents[1]
TWO = Cluster(devices=("cpu", "cpu"))
OF_CORES = Cluster(cores_per_worker=1)
PART = Selection(layers=("conv1", "layer1.*", "fc"), units=(range(8),))
OPTIONS = ["--demo", "--preset", "preview", "--layers", "conv1,layer1.*,fc", "--units", "0-7"]
PAGES = (
    paths.unit_page(Unit("conv1", 3)),
    paths.unit_page(Unit("conv1", 4)),
    paths.layer_page("conv1"),
)
PATIENCE_S = 240.0  # of the tests, on a machine that is busy


@pytest.fixture(scope="module")
def trouble(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder for marks of what has happened once."""
    return tmp_path_factory.mktemp("trouble")


@pytest.fixture(scope="module", autouse=True)
def cluster(trouble: Path) -> Iterator[str]:
    """Ray with three cores, in small; gives its address."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    # The paths of its sockets must be short: no folder of pytest's.
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setenv("RAY_TMPDIR", folder)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", path)
        patch.setenv(troubled.FOLDER_VARIABLE, str(trouble))
        handler = signal.getsignal(signal.SIGTERM)
        ray.init(
            address="local",
            num_cpus=3,
            object_store_memory=100_000_000,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
        )
        signal.signal(signal.SIGTERM, handler)
        yield ray.get_runtime_context().gcs_address
        ray.shutdown()


def build(
    folder: Path,
    cluster: Cluster | None,
    catalogue: Catalogue = CATALOGUE,
    kinds: tuple[str, ...] = (),
    deadly_images: Path | None = None,
    shown: Iterable[range] = (),
) -> BuildReport:
    asked = AtlasSpec(family="demo", preset="preview", selection=PART, kinds=kinds)
    places = Places(folder / "site", folder / "cache", "cpu", cluster=cluster)
    with Atlas(asked, places, catalogue, SILENT) as atlas:
        assert atlas.images
        if deadly_images:
            atlas.images = DeadlyImages(atlas.images, str(deadly_images))
        if shown:
            atlas.images = Unshown(atlas.images, shown)
        return atlas.build()


def rows(folder: Path) -> dict[str, tuple[str, ...]]:
    """What a cache holds, but for the time that it took."""
    path = folder / "cache" / "atlas.sqlite"
    if not path.exists():
        return {}
    with sqlite3.connect(path, timeout=30) as db:
        try:
            found = db.execute("select key, unit, kind, numbers, sha256 from artifacts").fetchall()
        except sqlite3.OperationalError:  # the tables are not there yet
            return {}
    return {key: tuple(others) for key, *others in found}


def files(folder: Path) -> dict[str, str]:
    """Every file of the site but the writer's own record, by digest."""
    return {
        str(path.relative_to(folder / "site")): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (folder / "site").rglob("*")
        if path.is_file() and path.name != ".atlas-files.json"
    }


@pytest.fixture(scope="module")
def one_process(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The atlas as one process builds it."""
    folder = tmp_path_factory.mktemp("one")
    build(folder, None)
    return folder


def with_kind(kind: Kind) -> Catalogue:
    """All kinds, one of them replaced or added."""
    others = [each for each in KINDS if each.name != kind.name]
    place = next((n for n, each in enumerate(KINDS) if each.name == kind.name), len(others))
    return Catalogue(kinds=(*others[:place], kind, *others[place:]))


def deadly_excitatory() -> Kind:
    (kind,) = (each for each in KINDS if each.name == "excitatory")
    return dataclasses.replace(kind, make="troubled:make_deadly")


def test_two_workers_make_the_same_bytes_though_each_is_killed_once(
    one_process: Path, trouble: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    report = build(tmp_path, TWO, with_kind(deadly_excitatory()), deadly_images=trouble)
    assert (trouble / "step").exists() and (trouble / "image").exists()
    err = capsys.readouterr().err
    assert err.count("is lost") == 2
    (span,) = re.findall(r"natural of all layers, images (\d+) to (\d+) is made again", err)
    assert int(span[0]) <= 193 <= int(span[1])  # that which killed it is the 193rd
    assert not report.failures and not report.n_there
    assert rows(tmp_path) == rows(one_process)
    assert files(tmp_path) == files(one_process)
    assert build(tmp_path, None).n_made == 0


def test_poison_is_named_a_dead_and_a_hung_worker_are_replaced(
    trouble: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    spec = TroubledSpec(("conv1:3", "fc:2"), ("conv1:5",), ("layer1.0.conv1:1",), str(trouble))
    patient = dataclasses.replace(OF_CORES, patience_s=6.0)
    report = build(tmp_path, patient, with_kind(troubled_kind(spec)), ("filter", "troubled"))
    assert sorted((each.unit.id, each.kind) for each in report.failures) == [
        ("conv1:3", "troubled"),
        ("fc:2", "troubled"),
    ]
    assert {each.reason for each in report.failures} == {"RuntimeError: poison"}
    err = capsys.readouterr().err
    assert "no message for" in err and err.count("is lost") == 2
    made = [unit for unit, kind, *_ in rows(tmp_path).values() if kind == "troubled"]
    drawn = {unit for unit, kind, *_ in rows(tmp_path).values() if kind == "filter"}
    assert len(drawn) == 6 * 8 and set(made) == drawn - set(spec.poisoned)
    words = "Not made: troubled of conv1:3: RuntimeError: poison"
    pages = {name: (tmp_path / "site" / name).read_text(encoding="utf-8") for name in PAGES}
    assert [words in text for text in pages.values()] == [True, False, True]


def parts_of(folder: Path) -> list[range]:
    """The photographs of each part of the pass that is there."""
    numbers = [json.loads(row[2]) for row in rows(folder).values() if row[1] == "natural part"]
    return [range(each["first"], each["end"]) for each in numbers]


class Unshown(ImagesOf):
    """The images of another set, of which some must not be shown to the network again."""

    def __init__(self, images: ImageSet, shown: Iterable[range]) -> None:
        super().__init__(images)
        self._shown = tuple(shown)

    def batches(self, preprocessing: Preprocessing, n_images: int, first: int = 0, end=None):
        assert not any(first in shown for shown in self._shown)
        return super().batches(preprocessing, n_images, first, end)


def test_a_driver_killed_in_the_pass_loses_nothing_and_one_process_goes_on(
    cluster: str, one_process: Path, tmp_path: Path
):
    folders = ["--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "site")]
    options = ["--cluster", cluster, "--cores-per-worker", "1", "--quiet"]
    command = [sys.executable, str(ROOT / "build.py"), *OPTIONS, *folders, *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as driver:
        deadline = time.monotonic() + PATIENCE_S
        workers = ()
        while len(parts_of(tmp_path)) < 2 or not workers:
            assert driver.poll() is None and time.monotonic() < deadline
            workers = workers or read_board(tmp_path / "cache")
            time.sleep(0.05)
        driver.kill()
    assert {worker.name for worker in workers} == {"worker 1", "worker 2", "worker 3"}
    kept, parts = rows(tmp_path), parts_of(tmp_path)
    assert 0 < len(kept) < len(rows(one_process))
    assert build(tmp_path, None, shown=parts).n_there == len(kept) - len(parts)
    assert rows(tmp_path) == rows(one_process)
    assert files(tmp_path) == files(one_process)


def processes_below(process_id: int) -> set[int]:
    """All processes that descend from one."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        parents[int(folder.name)] = int(fields[1])
    found, before = {process_id}, set()
    while found != before:
        before = set(found)
        found |= {child for child, parent in parents.items() if parent in found}
    return found - {process_id}


def environment_of(process_id: int) -> list[str]:
    try:
        return Path(f"/proc/{process_id}/environ").read_text(errors="replace").split("\0")
    except OSError:  # it has ended
        return []


def is_running(process_id: int) -> bool:
    try:
        fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    return fields[0] != "Z"


def test_ray_of_one_machine_asks_for_a_key(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    assert not key_variables(TWO)  # Ray is imported, and has read what there was
    monkeypatch.delitem(sys.modules, "ray")
    one, other = key_variables(TWO), key_variables(TWO)
    assert one["RAY_AUTH_MODE"] == "token" and len(one["RAY_AUTH_TOKEN"]) == 64
    assert one["RAY_AUTH_TOKEN"] != other["RAY_AUTH_TOKEN"]
    assert not key_variables(Cluster("10.0.0.1:6379"))


def test_ray_that_starts_again_in_a_process_asks_for_the_same_key(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "")  # so that it is as before in the end
    monkeypatch.setenv("RAY_AUTH_TOKEN", "")
    monkeypatch.delenv("RAY_AUTH_MODE")
    keys = []
    for _ in range(2):
        if not keys:
            monkeypatch.delitem(sys.modules, "ray")
        monkeypatch.setattr("atlas.cluster.ray_workers._import_ray", lambda: ray)
        with RayWorkers(TWO, Setup(AtlasSpec(), (), "", ""), None):
            keys.append(os.environ["RAY_AUTH_TOKEN"])
            monkeypatch.setitem(sys.modules, "ray", ray)
    assert len(keys[0]) == 64 and keys[0] == keys[1] == os.environ["RAY_AUTH_TOKEN"]


def test_there_are_as_many_workers_as_there_is_room():
    with_gpus = {"GPU": 8.0, "CPU": 64.0}
    gpu, cores = Resources("cuda", 1, 0, None), Resources("cpu", 0, 4, 4)
    assert [n_workers_on(node, gpu) for node in (with_gpus, {"CPU": 9.0})] == [8, 0]
    assert [n_workers_on(node, cores) for node in (with_gpus, {"CPU": 9.0}, {})] == [16, 2, 0]
    both = Resources("cuda", 1, 16, None)
    assert n_workers_on(with_gpus, both) == 4


def test_a_worker_takes_a_gpu_where_there_is_any_and_no_more_cores_than_a_node_has():
    cores, gpus = {"CPU": 2.0}, {"CPU": 8.0, "GPU": 4.0}
    assert node_resources(Cluster("auto"), [cores, gpus]) == Resources("cuda", 1, 0, None)
    assert node_resources(Cluster("auto"), [cores]) == Resources("cpu", 0, 2, 2)
    assert node_resources(Cluster("auto", "cuda"), [cores]).n_gpus == 1  # a node with one may come
    assert node_resources(Cluster("auto", "cpu", (), 3), [cores, gpus]) == Resources("cpu", 0, 3, 3)
    assert node_resources(Cluster("auto", "auto", (), 64), [cores, gpus]) == Resources(
        "cuda", 1, 8, None
    )
    assert node_resources(Cluster("auto"), []).n_cores == 1


def test_devices_of_this_machine_are_known_by_name(monkeypatch: pytest.MonkeyPatch):
    def devices(*asked: str) -> list[str]:
        return [each.device for each in device_resources(Cluster(devices=asked))]

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "_lazy_init", lambda: pytest.fail("that is for the workers"))
    every = ["cuda:0", "cuda:1", "cuda:2", "cuda:3"]
    assert devices("all") == every and devices("cuda:0", "cuda:3") == ["cuda:0", "cuda:3"]
    assert devices("cuda:1", "cuda:1", "cpu") == ["cuda:1", "cuda:1", "cpu"]  # two may share one
    for name in ("cuda:4", "cuda:01", "GPU-5e3d", "MIG-5e3d", "0", "all"):
        with pytest.raises(DeviceError, match=rf"no device '{name}'.*cpu, cuda:0, .*cuda:3"):
            devices("cuda:0", name)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(DeviceError, match="there is no GPU on this machine"):
        devices("all")
    with pytest.raises(DeviceError, match=r"no device 'cuda'.*there is cpu;"):
        devices("cuda", "cpu")


def test_workers_see_the_devices_that_the_driver_sees(monkeypatch: pytest.MonkeyPatch):
    seen, hidden, other = VISIBLE_DEVICES
    monkeypatch.setenv(seen, "GPU-5e3d,GPU-6f4e")
    monkeypatch.delenv(hidden, raising=False)
    monkeypatch.delenv(other, raising=False)
    here = visible_devices()
    monkeypatch.setenv(seen, "")  # as Ray hides them
    monkeypatch.setenv(hidden, "")
    set_environment(here)
    assert os.environ[seen] == "GPU-5e3d,GPU-6f4e" and hidden not in os.environ


def test_sigterm_while_ray_starts_ends_the_build_as_at_other_times():
    class EndedError(Exception):
        pass

    def end(*_: object) -> None:
        raise EndedError

    before = signal.signal(signal.SIGTERM, end)
    try:
        with pytest.raises(EndedError), sigterm_handler_kept():
            signal.signal(signal.SIGTERM, lambda number, _: sys.exit(number))  # as Ray does
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        assert signal.getsignal(signal.SIGTERM) is end
    finally:
        signal.signal(signal.SIGTERM, before)


def test_why_a_worker_ended_is_said_without_what_ray_says_to_everybody():
    died = (
        "The actor died because of an error raised in its creation task, \x1b[36mray::_Actor()\n"
        "RuntimeError: The actor with name _Actor failed to import on the worker.\n"
        "    ^^^^^^\nModuleNotFoundError: No module named 'atlas'"
    )
    assert _reason(RuntimeError(died)) == "ModuleNotFoundError: No module named 'atlas'"
    lost = "The actor died unexpectedly.\n\tclass_name: _Actor\n\tactor_id: 46c1"
    assert _reason(RuntimeError(lost)) == "The actor died unexpectedly."
    assert _reason(OSError("Worker exit type: X\nWorker exit detail: killed (9)")) == "killed (9)"
    assert _reason(ValueError("Version mismatch:\n  Ray: 2.52")) == "Version mismatch: Ray: 2.52"
    assert _reason(ValueError()) == "ValueError"


def test_what_cannot_be_joined_is_said_in_a_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    class Refusing:
        exceptions = ray.exceptions
        shutdown = staticmethod(lambda: None)
        is_initialized = staticmethod(lambda: False)

        @staticmethod
        def init(address: str, **_options: object) -> None:
            if address == "local":
                raise Exception("The current node timed out during startup.")
            raise RuntimeError("Version mismatch: The cluster was started with:\n    Ray: 2.52.0")

    monkeypatch.setattr("atlas.cluster.ray_workers._import_ray", lambda: Refusing)
    setup = Setup(AtlasSpec(), (), "", "")
    with pytest.raises(SpecError, match=r"auto cannot be joined \(Version mismatch.*the same key"):
        RayWorkers(Cluster("auto"), setup, None).__enter__()
    with pytest.raises(DeviceError, match=r"cannot start on this machine \(.*timed out"):
        RayWorkers(TWO, setup, None).__enter__()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads processes from /proc")
def test_ctrl_c_ends_the_workers_of_several_devices_and_all_of_ray(tmp_path: Path):
    folders = ["--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "site")]
    options = ["--device", "cpu,cpu", "--quiet"]
    command = [sys.executable, str(ROOT / "build.py"), *OPTIONS, *folders, *options]
    kept = {name: value for name, value in os.environ.items() if "RAY" not in name}
    environment = {**kept, "RAY_TMPDIR": os.environ["RAY_TMPDIR"]}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as driver:
        deadline = time.monotonic() + PATIENCE_S
        while len(rows(tmp_path)) < 10:
            assert driver.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        children = processes_below(driver.pid)
        has_key = any("RAY_AUTH_MODE=token" in environment_of(child) for child in children)
        driver.send_signal(signal.SIGINT)
        _, err = driver.communicate(timeout=PATIENCE_S)
    assert driver.returncode == 130
    assert err.startswith("Stopped. Everything rendered so far is kept")
    assert len(children) > 3 and has_key
    deadline = time.monotonic() + 30
    while any(map(is_running, children)):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert not read_board(tmp_path / "cache")
