"""A weights file is read once for its digest, and again when it was changed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from atlas import digest
from atlas.digest import file_sha256


def test_a_digest_is_computed_once_while_the_file_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path, n_read = tmp_path / "weights.pth", []
    plain = digest.stream_sha256
    monkeypatch.setattr(
        digest, "stream_sha256", lambda file: n_read.append(1) or plain(file), raising=True
    )
    for content in (b"first", b"other"):  # of the same size
        path.write_bytes(content)
        os.utime(path, ns=(0, content[0]))
        for _ in range(2):
            assert file_sha256(path) == hashlib.sha256(content).hexdigest()
    assert len(n_read) == 2
