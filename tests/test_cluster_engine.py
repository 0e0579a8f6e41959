"""The driver of workers that follow a script: what it does when they end, hang or fail."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest
from cluster_scaling import jobs_for_workers, simulated
from stand_ins import artifacts_of

from atlas.asked import AtlasSpec
from atlas.cache import BOARD_NAMES, Artifact, Cache
from atlas.cluster import Cluster, cluster_of
from atlas.cluster.board import Board, Doing, read_board
from atlas.cluster.engine import MAX_FAILURES, ClusterEngine, Driver
from atlas.cluster.keeping import ThreadKeeper
from atlas.cluster.messages import (
    Advanced,
    Begun,
    Broken,
    Finished,
    Hello,
    Lost,
    Made,
    Message,
    Order,
    Saved,
    Setup,
    Slice,
    Surveyed,
)
from atlas.cluster.ray_workers import SLICE_BYTES, RayWorkers, slices_of
from atlas.errors import DeviceError, ImagesError, NetworkError, SpecError
from atlas.making import Making
from atlas.network.network import Network
from atlas.pass_parts import PartSpec, SharedPass, cost_of_pass, passes_of
from atlas.plan import Job, Plan, make_plan
from atlas.progress import SILENT
from atlas.records import to_json

Script = Callable[[str, Order], Iterable[Message]]


def good(_name: str, order: Order) -> Iterator[Message]:
    """What a worker says that makes everything."""
    if order.is_survey:
        yield Surveyed((None,) * len(order.jobs))
    else:
        cost = sum(job.cost.each * len(job.units) + job.cost.once for job in order.jobs)
        yield Advanced(cost, is_new=True)
        yield from (Made(artifacts_of(job)) for job in order.jobs)
    yield Finished()


class Scripted:
    """Workers that say what a script makes them say, one word at a time.

    After the last word of its script a worker is silent. Each poll takes a second.
    """

    def __init__(self, script: Script, n_workers: int = 2, births: Iterable[Message] = ()) -> None:
        self._script, self._n_workers = script, n_workers
        self._births = iter(births)
        self._names = itertools.count(1)
        self._speaking: dict[str, Iterator[Message]] = {}
        self.now_s = 0.0
        self.orders: list[tuple[str, Order]] = []
        self.ended: list[str] = []

    def n_wanted(self) -> int:
        return self._n_workers

    def start(self) -> str:
        name = f"worker {next(self._names)}"
        birth = next(self._births, Hello("cpu", "float32", "node"))
        self._speaking[name] = iter([birth])
        return name

    def give(self, name: str, order: Order) -> None:
        self.orders.append((name, order))
        self._speaking[name] = iter(self._script(name, order))

    def poll(self, timeout_s: float) -> Iterator[tuple[str, Message]]:
        self.now_s += 1.0
        for name, words in list(self._speaking.items()):
            if word := next(words, None):
                if isinstance(word, Lost):
                    del self._speaking[name]
                yield name, word

    def end(self, name: str) -> None:
        self.ended.append(name)
        self._speaking.pop(name, None)


class Run:
    """A build with workers that follow a script."""

    def __init__(
        self,
        cache: Cache,
        jobs: list[Job],
        script: Script = good,
        passes: Sequence[SharedPass] = (),
        **more,
    ) -> None:
        self.workers, self.kept = Scripted(script, **more), Counter[str]()
        with SILENT.stage("") as view:
            self.making = Making(Plan((), tuple(jobs)), None, view, lambda: self.workers.now_s)
        self.driver = Driver(
            self.workers,
            cache,
            self.making,
            60.0,
            jobs,
            lambda: self.workers.now_s,
            passes,
            self.make_here,
        )
        self.joined: list[Job] = []
        self.cache = cache

    def commit(self, artifacts: list[Artifact]) -> None:
        self.cache.put(artifacts)
        self.counted(artifacts)

    def make_here(self, jobs: Sequence[Job]) -> None:
        self.joined += jobs
        assert all(self.cache.keys().issuperset(job.sources) for job in jobs)
        for job in jobs:
            self.commit(list(artifacts_of(job)))

    def counted(self, artifacts: list[Artifact]) -> None:
        self.making.done(artifacts)
        self.kept.update(artifact.key for artifact in artifacts)

    def __call__(self) -> Run:
        with ThreadKeeper(self.cache.path.parent, self.counted) as keeper:
            self.driver.run(keeper)
        return self


def jobs_of(network: Network, *kinds: str, **asked) -> list[Job]:
    plan = make_plan(AtlasSpec(preset="preview", kinds=kinds, **asked), network.facts, ())
    return list(plan.missing)


def keys_of(jobs: Iterable[Job]) -> Counter[str]:
    return Counter(key for job in jobs for key in job.keys)


def failing_once(messages: Iterable[Message]) -> Script:
    """Goes wrong at the first order that makes something, after a step."""
    waiting = [list(messages)]

    def script(name: str, order: Order) -> Iterable[Message]:
        if order.is_survey or not waiting:
            return good(name, order)
        return [Advanced(1e9, is_new=True), *waiting.pop()]

    return script


def test_all_is_made_and_the_steps_add_up(planted: Network, cache: Cache):
    jobs = jobs_of(planted, "filter", "noise", "excitatory", "dream")
    run = Run(cache, jobs)()
    assert run.kept == keys_of(jobs)
    assert run.making.share == pytest.approx(1)
    assert not run.driver.schedule.failures
    assert not read_board(cache.path.parent)


@pytest.mark.parametrize(
    "end", [Lost("killed"), Broken("it broke"), Broken("CUDA error", is_sound=False)]
)
def test_what_a_worker_does_not_finish_is_made_once_elsewhere(
    planted: Network, cache: Cache, end: Message
):
    jobs = jobs_of(planted, "excitatory")
    run = Run(cache, jobs, failing_once([end]))()
    assert run.kept == keys_of(jobs)
    assert run.making.share == pytest.approx(1)  # its steps were taken back
    assert run.making._reported == pytest.approx(0, abs=1)
    assert not run.driver.schedule.failures
    is_replaced = not isinstance(end, Broken) or not end.is_sound
    assert ("worker 3" in {name for name, _ in run.workers.orders}) == is_replaced


def test_a_worker_that_says_nothing_for_too_long_is_ended_and_replaced(
    planted: Network, cache: Cache, capsys: pytest.CaptureFixture[str]
):
    jobs = jobs_of(planted, "excitatory")
    run = Run(cache, jobs, failing_once([]))()
    assert run.kept == keys_of(jobs)
    (hung,) = run.workers.ended
    assert run.workers.now_s > 60
    assert f"{hung} on node is lost (no message for 6" in capsys.readouterr().err


def test_a_worker_may_be_slow_as_long_as_it_says_something(planted: Network, cache: Cache):
    def slow(name: str, order: Order) -> Iterator[Message]:
        for _ in range(100):
            yield Advanced(1.0, is_new=True)
        yield from good(name, order)

    run = Run(cache, jobs_of(planted, "noise"), slow)()
    assert not run.workers.ended and run.workers.now_s > 60


def test_workers_that_end_before_they_are_ready_are_not_started_forever(
    planted: Network, cache: Cache, capsys: pytest.CaptureFixture[str]
):
    jobs = jobs_of(planted, "noise")
    with pytest.raises(DeviceError, match="no worker can start: no torch"):
        Run(cache, jobs, births=[Lost("no torch")] * 9)()
    one = Run(cache, jobs, births=[Hello("cpu", "float32", "node"), *[Lost("no torch")] * 9])()
    assert one.kept == keys_of(jobs)
    said = (
        "No more workers are started, since 3 in a row have ended before they were ready: no torch"
    )
    assert capsys.readouterr().err.count(said) == 1
    jobs = jobs_of(planted, "excitatory")
    births = [Hello("cpu", "float32", "node"), *[Lost("no torch")] * 9]
    with pytest.raises(DeviceError, match="no worker can start: killed"):
        Run(
            cache,
            jobs,
            failing_once([Advanced(1.0, is_new=True)] * 9 + [Lost("killed")]),
            births=births,
        )()


def test_that_no_worker_starts_for_long_is_said_once(
    planted: Network, cache: Cache, capsys: pytest.CaptureFixture[str]
):
    jobs = jobs_of(planted, "noise")
    Run(cache, jobs, births=[Begun("", "")])()
    assert "is ready after" not in capsys.readouterr().err
    Run(cache, jobs, births=[Begun("", "")] * 2)()
    err = capsys.readouterr().err
    assert err.count("No worker is ready after 60 s") == 1 and "ray status" in err


def test_an_error_about_everything_ends_the_build_with_its_own_words(
    planted: Network, cache: Cache
):
    error = ImagesError("a photograph cannot be read now")
    with pytest.raises(ImagesError, match="cannot be read now"):
        Run(cache, jobs_of(planted, "noise"), failing_once([Broken("x", error)]))()


def test_what_had_arrived_is_kept_when_the_build_ends_early(planted: Network, cache: Cache):
    jobs = jobs_of(planted, "filter")

    def script(_name: str, order: Order) -> Iterator[Message]:
        yield Made(artifacts_of(order.jobs[0]))
        yield Broken("x", NetworkError("no weights"))

    run = Run(cache, jobs, script)
    with pytest.raises(NetworkError):
        run()
    assert run.kept and run.kept.keys() == cache.keys()


def test_if_nothing_can_be_made_that_is_said_instead_of_tried_for_hours(
    planted: Network, cache: Cache, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("atlas.cluster.engine.MAX_FAILURES", 3)
    assert MAX_FAILURES > 3

    def broken(_name: str, _order: Order) -> Iterator[Message]:
        yield Broken("broken weights")

    with pytest.raises(NetworkError, match=r"more than 3 .* cannot be made.*broken weights"):
        Run(cache, jobs_of(planted, "filter"), broken)()


def test_workers_on_equal_devices_use_the_precision_of_the_first(planted: Network, cache: Cache):
    births = [
        Hello("H100", "bfloat16", "a"),
        Hello("H100", "float32", "b"),
        Hello("T4", "float32", "c"),
    ]
    run = Run(cache, jobs_of(planted, "excitatory", "filter"), n_workers=3, births=births)()
    precisions = {name: order.precision for name, order in run.workers.orders}
    assert precisions["worker 1"] == precisions.get("worker 2", "bfloat16") == "bfloat16"
    assert precisions.get("worker 3", "float32") == "float32"


def test_what_something_is_made_from_is_sent_along(planted: Network, cache: Cache):
    jobs = jobs_of(planted, "natural", "examples", images_sha256="some", n_images=3)
    run = Run(cache, jobs)()
    assert run.kept == keys_of(jobs)
    for _, order in run.workers.orders:
        sources = {key for job in order.jobs for key in job.sources}
        assert order.entries.keys() == order.data.keys() == sources
        assert all(order.data[key] == cache.read(key) for key in sources)
        assert order.needs_images
    assert any(order.data for _, order in run.workers.orders)


def test_a_pass_goes_on_elsewhere_from_the_state_that_was_sent(planted: Network, cache: Cache):
    jobs = jobs_of(planted, "natural", images_sha256="some", n_images=3)
    run = Run(cache, jobs, failing_once([Saved(b"half of it"), Lost("killed")]))()
    states = [order.checkpoint for _, order in run.workers.orders]
    assert states == [None, b"half of it"]
    assert not cache.select("select key from checkpoints")


def part_of(job: Job) -> Artifact:
    """What a worker sends of a part of a pass."""
    (artifact,) = artifacts_of(job)
    return dataclasses.replace(artifact, numbers_json=to_json(job.spec.record, "z"))


def test_a_pass_is_shared_joined_here_and_its_steps_add_up(planted: Network, cache: Cache):
    jobs = jobs_of(planted, "natural", "examples", images_sha256="some", n_images=1000)
    shared = SharedPass(tuple(job for job in jobs if job.kind.name == "natural"), 1000)
    lost = [True]

    def script(name: str, order: Order) -> Iterator[Message]:
        (job, *_) = order.jobs
        if not isinstance(job.spec, PartSpec):
            yield from good(name, order)
            return
        assert order.checkpoint is None and order.needs_images
        yield Advanced(job.cost.each, is_new=True)
        if lost and lost.pop():
            yield Lost("killed")
        yield Made((part_of(job),))
        yield Finished()

    cache.put([part_of(shared.part(range(128)))])
    (begun,) = passes_of(jobs, cache, 1000)
    assert len(begun.parts) == 1
    run = Run(cache, jobs, script, [begun])()
    parts = [job.spec for _, order in run.workers.orders for job in order.jobs[:1]]
    spans = [(spec.first, spec.end) for spec in parts if isinstance(spec, PartSpec)]
    assert len(spans) == len(set(spans)) + 1  # that of the worker that was lost
    assert sorted(n for span in set(spans) for n in range(*span)) == list(range(128, 1000))
    assert {job.kind.name for job in run.joined} == {"natural"}
    assert all(len(job.sources) == 1 + len(set(spans)) for job in run.joined)
    assert keys_of(jobs) == Counter({key: run.kept[key] for key in keys_of(jobs)})
    assert run.making.share == pytest.approx(1)
    assert run.making._reported == pytest.approx(0, abs=1)


def test_a_pass_that_one_worker_makes_in_the_end_counts_once(planted: Network, cache: Cache):
    jobs = jobs_of(planted, "natural", images_sha256="some", n_images=1000)
    shared = SharedPass(tuple(jobs), 1000)
    broken: list[range] = []

    def script(_name: str, order: Order) -> Iterator[Message]:
        (job, *_) = order.jobs
        if not isinstance(job.spec, PartSpec):
            yield Advanced(cost_of_pass(order.jobs), is_new=True)
            yield from (Made(artifacts_of(each)) for each in order.jobs)
            yield Finished()
            return
        yield Advanced(job.cost.each, is_new=True)
        if job.spec.first <= 500 < job.spec.end:
            broken.append(range(job.spec.first, job.spec.end))
            yield Broken("not finite")
            return
        yield Advanced(0.0, is_new=True)  # others fail meanwhile
        yield Made((part_of(job),))
        yield Finished()

    cache.put([part_of(shared.part(range(128)))])
    (begun,) = passes_of(jobs, cache, 1000)
    assert begun.cost_done
    run = Run(cache, jobs, script, [begun], n_workers=3)()
    assert len(broken) == 2 and not run.joined
    assert keys_of(jobs) == Counter({key: run.kept[key] for key in keys_of(jobs)})
    assert run.making.share == pytest.approx(1)
    assert run.making._reported == pytest.approx(0, abs=1)


def test_long_messages_are_sent_in_slices(planted: Network):
    short = Made(artifacts_of(jobs_of(planted, "filter")[0]))
    assert list(slices_of(short)) == [short]
    long = Saved(bytes(range(250)) * (2 * SLICE_BYTES // 250))
    slices = list(slices_of(long))
    assert all(isinstance(each, Slice) and len(each.data) <= SLICE_BYTES for each in slices)
    assert [each.is_last for each in slices] == [False, False, True]
    workers = RayWorkers(Cluster(), Setup(AtlasSpec(), (), "", ""), None)
    assert [workers._whole(each, "one") for each in slices[:2]] == [None, None]
    assert workers._whole(slices[2], "one") == long


def test_what_is_made_from_the_whole_network_is_made_here_after_everything(
    planted: Network, cache: Cache
):
    jobs = jobs_of(planted, "excitatory", "similar")
    done: list[str] = []

    class Here:
        def run(self, jobs, commit) -> None:
            assert all(cache.keys().issuperset(job.sources) for job in jobs)
            done.extend(job.kind.name for job in jobs)
            for job in jobs:
                commit(list(artifacts_of(job)) if job.kind.name == "natural" else [])

    def here() -> AbstractContextManager[Here]:
        return nullcontext(Here())

    asked = AtlasSpec(preset="preview", kinds=("excitatory", "similar"))
    workers = Scripted(good)
    engine = ClusterEngine(asked, lambda: nullcontext(workers), here, cache, lambda kept: None)
    engine.run(jobs, cache.put)
    assert set(done) == {"similar"}
    assert {job.kind.name for _, order in workers.orders for job in order.jobs} == {"excitatory"}
    del done[:]
    engine.run(make_plan(asked, planted.facts, cache.keys()).missing, cache.put)
    assert set(done) == {"similar"}  # and no worker was started for it
    jobs = jobs_of(planted, "natural", images_sha256="some", n_images=1000)
    shared = SharedPass(tuple(jobs), 1000)
    cache.put([part_of(shared.part(span)) for span in (range(640), range(640, 1000))])
    del done[:], workers.orders[:]
    engine.asked = dataclasses.replace(asked, n_images=1000)
    engine.run(jobs[:2], cache.put)  # those of some layers as well
    assert done == ["natural", "natural"] and not workers.orders


def test_the_whole_of_resnet_50_keeps_64_gpus_busy(tmp_path: Path):
    # `python tests/cluster_scaling.py` gives the figure: 0.84, less on a machine that is busy.
    result = simulated(jobs_for_workers(), 64, tmp_path)
    assert result.n_artifacts > 90_000
    assert result.efficiency > 0.7


def test_options_say_where_workers_are():
    assert cluster_of(None, "auto", None) is None
    assert cluster_of(None, "cuda:1", None) is None
    assert cluster_of(None, "cuda:0, cuda:1", None) == Cluster(
        devices=("cuda:0", "cuda:1"), device=""
    )
    assert cluster_of(None, "all", None) == Cluster(devices=("all",), device="")
    assert cluster_of("auto", "auto", 2) == Cluster("auto", cores_per_worker=2)
    assert cluster_of("local", "cpu", None) == Cluster("local", "cpu")
    assert cluster_of("auto", "cuda", None) == Cluster("auto", "cuda")
    for address, device, cores, words in (
        (None, "cpu", 2, "--cores-per-worker is for workers"),
        ("10.0.0.1:6379", "all", None, "those of this machine"),
        ("local", "cuda:1", None, "Ray chooses; give --device cuda, or"),
        ("ray://host:10001", "auto", None, "ray job submit"),
    ):
        with pytest.raises(SpecError, match=words):
            cluster_of(address, device, cores)


def test_the_board_is_read_while_it_is_fresh_and_whatever_is_in_it(tmp_path: Path, monkeypatch):
    doing = Doing("worker 1", "host", "H100", "excitatory of conv1, 64 artifacts", 3.2, 128)
    with Board(tmp_path) as board:
        board.show([doing])
        assert read_board(tmp_path) == (doing,)
        assert str(doing) == (
            "worker 1 (H100 on host): excitatory of conv1, 64 artifacts, for 3 s; 128 made"
        )
        at = (tmp_path / BOARD_NAMES[0]).read_text(encoding="utf-8")
        for text in ("", "{", "[]", at.replace("3.2", '"x"'), at.replace('"at": ', '"at": 1')):
            (tmp_path / BOARD_NAMES[0]).write_text(text, encoding="utf-8")
            assert read_board(tmp_path) == ()
    assert read_board(tmp_path) == ()
    assert not list(tmp_path.iterdir())
