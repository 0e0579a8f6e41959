"""No weights file, however it is made, ends in a traceback, in a hang or in gigabytes."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from mutated_weights import HUGE, LIMIT_MB, mutated_bytes, state_of, tiny_family

import atlas
from atlas.asked import AtlasSpec
from atlas.errors import NetworkError
from atlas.families.family import Family
from atlas.network.load import load_network
from atlas.network.network import Network
from atlas.network.source import weights_source

N_FILES = os.environ.get("ATLAS_TEST_MUTATIONS", "300")


@pytest.fixture(scope="module")
def family(tmp_path_factory) -> Family:
    path = tmp_path_factory.mktemp("tiny") / "tiny.pth"
    torch.save(state_of(), path)
    return tiny_family(path)


def load(path: Path, family: Family) -> Network:
    return load_network(AtlasSpec(weights=str(path)), family, [family])


def refusal(path: Path, family: Family, content: object = None) -> str:
    if content is not None:
        torch.save(content, path)
    with pytest.raises(NetworkError) as refused:
        load(path, family)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_mutated_files_are_loaded_or_refused_in_one_line():
    script = Path(__file__).with_name("mutated_weights.py")
    folder = str(Path(atlas.__file__).parents[1])
    command = [sys.executable, str(script), N_FILES]
    environment = {**os.environ, "PYTHONPATH": folder}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "'loaded': " in done.stdout and "'refused in one line': " in done.stdout
    n_more_mb = int(done.stdout.split("at most ")[1].split(" MB")[0].replace(",", ""))
    assert n_more_mb < LIMIT_MB
    assert not Path("/tmp/atlas-weights-ran").exists()


def test_the_same_seed_gives_the_same_file():
    assert mutated_bytes(9) == mutated_bytes(9)


@pytest.mark.parametrize(
    ("replacement", "word"),
    [
        (lambda tensor: torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8), "quantised"),
        (lambda tensor: (tensor * 10).to(torch.int8), "int8"),
        (lambda tensor: tensor > 0, "bool"),
        (lambda tensor: tensor.to(torch.complex64), "complex64"),
        (lambda tensor: tensor.to("meta"), "on the meta device"),
        (lambda tensor: tensor.to_sparse(), "sparse"),
        (lambda tensor: torch.zeros(()).expand(tensor.shape), "an expanded view"),
    ],
)
def test_tensors_that_are_no_plain_numbers_are_named(tmp_path, family, replacement, word):
    state = state_of()
    state["fc.weight"] = replacement(state["fc.weight"])
    assert f"of another type: fc.weight ({word});" in refusal(tmp_path / "a.pth", family, state)


def test_a_negative_variance_is_named(tmp_path, family):
    state = state_of()
    state["bn1.running_var"][2] = -0.1
    message = refusal(tmp_path / "a.pth", family, state)
    assert "negative variances: bn1.running_var;" in message


@pytest.mark.parametrize("n_classes", [0, 100_001, 400_000, HUGE])
def test_the_number_of_classes_has_a_limit_that_is_named(tmp_path, family, n_classes):
    state = {**state_of(), "fc.weight": torch.zeros(1, 5).expand(n_classes, 5)}
    message = refusal(tmp_path / "a.pth", family, state)
    assert f"{n_classes:,} classes" in message and "1 to 100,000 classes" in message


def test_containers_that_hold_themselves_end(tmp_path, family):
    state: dict[str, object] = {}
    state["state_dict"] = state
    assert "no tensors" in refusal(tmp_path / "a.pth", family, state)


def test_keys_that_are_no_text_do_not_matter(tmp_path, family):
    torch.save({**state_of(), 5: torch.zeros(2), (1, 2): 3, None: None}, tmp_path / "a.pth")
    assert load(tmp_path / "a.pth", family).facts.n_units == 12


def test_names_in_messages_are_cleaned(tmp_path, family):
    state = {**state_of(), "conv1.\x1b[31mred\u202e\ud800" + "x" * 900: torch.ones(2)}
    message = refusal(tmp_path / "a.pth", family, state)
    assert "not in this architecture: conv1.[31mred\ufffdxxx" in message
    assert "\x1b" not in message and len(message) < 400


def rewritten(path: Path, change: object, method: int = zipfile.ZIP_STORED) -> None:
    """Write a checkpoint's archive anew with records changed."""
    torch.save(state_of(), path)
    with zipfile.ZipFile(path) as archive:
        records = {record.filename: archive.read(record) for record in archive.infolist()}
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in records.items():
            archive.writestr(name, change(name, data))


def test_compressed_records_are_not_unpacked(tmp_path, family):
    path = tmp_path / "a.pth"
    rewritten(path, lambda _, data: data + bytes(30_000_000), zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 2_000_000
    assert "compressed" in refusal(path, family)


def test_a_storage_that_is_larger_than_the_file_is_refused(tmp_path, family):
    path = tmp_path / "a.pth"
    items = b"K\x6c"  # the 108 weights of conv1, as a number in the pickle

    def enlarge(name: str, data: bytes) -> bytes:
        if not name.endswith("/data.pkl"):
            return data
        assert items in data
        return data.replace(items, b"\x8a\x08" + struct.pack("<q", HUGE))

    rewritten(path, enlarge)
    assert "larger than what is stored" in refusal(path, family)


def test_a_damaged_number_is_noticed(tmp_path, family):
    path = tmp_path / "a.pth"
    torch.save(state_of(), path)
    data = bytearray(path.read_bytes())
    numbers = state_of()["fc.weight"].numpy().tobytes()
    data[data.index(numbers) + 5] ^= 1
    path.write_bytes(data)
    assert "a checksum differs" in refusal(path, family)


def test_a_long_pickle_is_refused_before_it_takes_long(tmp_path, family):
    path = tmp_path / "a.pth"
    rewritten(path, lambda name, data: b"]" * 3_000_000 if name.endswith(".pkl") else data)
    assert "far more in it than tensors" in refusal(path, family)


def test_text_that_doubles_and_doubles_takes_no_time(tmp_path, family):
    """The tuple of a tuple twice, sixty times: as text it would fill every disk."""
    bomb = b"\x80\x02)" + b"2\x86" * 60 + b"\x85R."
    path = tmp_path / "a.pth"
    rewritten(path, lambda name, data: bomb if name.endswith(".pkl") else data)
    assert "damaged" in refusal(path, family)


@pytest.mark.parametrize(
    "tell",
    [load, lambda path, family: weights_source(AtlasSpec(weights=str(path)), family)],
    ids=["load", "source"],
)
def test_only_regular_files_are_opened(tmp_path, family, tell):
    os.mkfifo(tmp_path / "pipe.pth")
    (tmp_path / "zero.pth").symlink_to("/dev/zero")
    (tmp_path / "loop.pth").symlink_to(tmp_path / "loop.pth")
    (tmp_path / "gone.pth").symlink_to(tmp_path / "nothing")
    for name, words in (
        ("pipe.pth", "Not a regular file"),
        ("zero.pth", "Not a regular file"),
        ("loop.pth", "Too many levels of symbolic links"),
        ("gone.pth", "No such file"),
        ("x" * 300 + ".pth", "File name too long"),
        ("a\0b.pth", "Not a name of a file"),
    ):
        with pytest.raises(NetworkError, match=f"cannot read the weights .*{words}"):
            tell(tmp_path / name, family)


def test_a_link_to_a_file_is_followed(tmp_path, family):
    torch.save(state_of(), tmp_path / "a.pth")
    (tmp_path / "b.pth").symlink_to(tmp_path / "a.pth")
    assert load(tmp_path / "b.pth", family).facts.weights == "b.pth"


def test_a_sparse_file_of_a_terabyte_is_not_read(tmp_path, family):
    with (tmp_path / "a.pth").open("wb") as file:
        file.truncate(1 << 40)
    assert "Larger than 32,000 MB" in refusal(tmp_path / "a.pth", family)


def test_a_file_name_is_shown_without_what_is_not_text(tmp_path, family):
    path = tmp_path / "b\udcff\x1b[2J\nad.pth"
    try:
        torch.save(state_of(), buffer := io.BytesIO())
        path.write_bytes(buffer.getvalue())
    except OSError:
        pytest.skip("this file system wants UTF-8")
    assert load(path, family).facts.weights == "b\ufffd[2J ad.pth"


def test_pytorch_is_never_asked_to_unpickle():
    """Its reader of weights had holes: CVE-2026-24747 before 2.10, and it allocates unchecked."""
    sources = Path(atlas.__file__).parent.rglob("*.py")
    assert not [path for path in sources if "torch.load(" in path.read_text(encoding="utf-8")]
