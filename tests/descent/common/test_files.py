"""A crash or a full disk must never leave half a file under a name that a reader trusts."""

import os
from pathlib import Path

import pytest

from descent.common.files import JsonLines, read_json_lines, replacing, write_atomically


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_atomically(path, b"old")
    with pytest.raises(OSError, match="full"), replacing(path) as file:
        file.write(b"half of the ne")
        raise OSError("full")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_only_the_owner_can_read_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_atomically(path, b"mine")
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_torn_line_is_left_out_and_spoils_no_later_one(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    JsonLines(path).append({"event": "one"})
    with path.open("ab") as file:
        file.write(b'{"event": "tor')
    assert [e["event"] for e in read_json_lines(path)] == ["one"]
    JsonLines(path).append({"event": "two"})
    assert [e["event"] for e in read_json_lines(path)] == ["one", "two"]


def test_lines_that_are_no_objects_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'\n3\n\xff\xfe\n{"event": "good"}\n')
    assert [e["event"] for e in read_json_lines(path)] == ["good"]
    assert read_json_lines(tmp_path / "nothing") == []


def test_a_line_that_the_disk_took_in_part_is_told_and_kept_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk would swallow an event without a word, and the next one with it."""
    path = tmp_path / "events.jsonl"
    lines, write = JsonLines(path), os.write
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda file, data: write(file, data[:7]))
        with pytest.raises(OSError, match="No space left"):
            lines.append({"event": "lost"})
    lines.append({"event": "after", "name": "\udcff"})
    assert read_json_lines(path) == [{"event": "after", "name": "\udcff"}]
