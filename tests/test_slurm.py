"""The scripts for SLURM run as they are, with stand-ins for SLURM's own commands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_command import run

from atlas.cache import Cache

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "docs" / "slurm"
OPTIONS = (
    *("--demo", "--preset", "preview", "--device", "cpu"),
    *("--layers", "conv1", "--units", "0-3", "--kinds", "filter"),
)


@pytest.fixture
def slurm(tmp_path: Path):
    """Runs a script in a folder, where `srun` runs what it is given and `scontrol` notes it."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, line in (("srun", 'exec "$@"'), ("scontrol", f'echo "$@" >> {tmp_path}/asked')):
        (commands / name).write_text(f"#!/bin/bash\n{line}\n")
        (commands / name).chmod(0o755)

    def run_script(script: str, *args: str, **variables: str) -> subprocess.CompletedProcess[str]:
        atlas = variables.pop("ATLAS", f"{sys.executable} {ROOT / 'build.py'}")
        return subprocess.run(
            ["bash", str(SCRIPTS / script), *args],
            cwd=tmp_path,
            env={
                **os.environ,
                "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
                "ATLAS": atlas,
                **variables,
            },
            capture_output=True,
            text=True,
            check=False,
        )

    return run_script


def task(number: int, n_tasks: int) -> dict[str, str]:
    return {
        "SLURM_ARRAY_JOB_ID": "7",
        "SLURM_ARRAY_TASK_ID": str(number),
        "SLURM_ARRAY_TASK_MAX": str(n_tasks),
    }


def test_an_array_of_shards_and_the_job_after_it_give_a_site(slurm, tmp_path: Path):
    plan, read = tmp_path / ".atlas-shards" / "plan", ("/photos/a.jpg", 1, 2)
    assert run(*OPTIONS, "--dry-run", "--cache", plan).code == 0
    with Cache(plan) as cache:
        cache.image_digests[read] = "0" * 64
    for number in (1, 2):
        done = slurm("atlas.sh", *OPTIONS, **task(number, 2))
        assert done.returncode == 0, done.stderr
        assert f"Shard {number}/2: " in done.stdout
        with Cache(tmp_path / ".atlas-shards" / str(number)) as cache:
            assert read in cache.image_digests  # photographs that were read are not read again
    done = slurm("atlas.sh", *OPTIONS)
    assert done.returncode == 0, done.stderr
    assert "0 pictures and panels made" in done.stdout
    assert (tmp_path / "site" / "conv1" / "0003.html").is_file()


def test_an_array_of_networks_gives_a_site_with_a_landing_page(slurm, tmp_path: Path):
    lines = [f"{name} {' '.join(OPTIONS)} --seed {seed}" for seed, name in enumerate(("a", "b"))]
    (tmp_path / "networks.txt").write_text("# both\n" + "\n".join(lines) + "\n")
    done = slurm("many.sh", "networks.txt", **task(2, 2))
    assert done.returncode == 0, done.stderr
    landing = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert 'href="b/index.html"' in landing and 'href="a/index.html"' not in landing
    assert [path.name for path in (tmp_path / ".atlas-caches").iterdir()] == ["b"]


@pytest.mark.parametrize("script", ["atlas.sh", "many.sh"])
def test_a_task_whose_time_is_up_is_queued_again_and_one_that_failed_is_not(
    slurm, tmp_path: Path, script: str
):
    (tmp_path / "networks.txt").write_text("a --demo\n")
    for code, asked in ((143, "requeue 7_1\n"), (2, "")):
        (tmp_path / "asked").write_text("")
        (tmp_path / "fails").write_text(f"exit {code}\n")
        done = slurm(script, "networks.txt", ATLAS="bash fails", **task(1, 1))
        assert done.returncode == (0 if asked else code)
        assert (tmp_path / "asked").read_text() == asked
