"""A crash or a full disk must never leave half a file under a name that a reader trusts."""

import os
from pathlib import Path

import pytest

from descent.common.files import (
    AppendingWriter,
    JsonLines,
    create_text,
    read_json_lines,
    replacing,
    write_atomically,
    write_output,
)
from tests.helpers.full_disk import no_room


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
        with pytest.raises(OSError, match=r"No space left.*events\.jsonl"):
            lines.append({"event": "lost"})
    lines.append({"event": "after", "name": "\udcff"})
    assert read_json_lines(path) == [{"event": "after", "name": "\udcff"}]


def test_a_file_that_the_user_has_named_is_whole_or_as_it_was(tmp_path: Path) -> None:
    """A full disk would leave half a model under the name of a good one, and no word of which file it was."""
    path, new = tmp_path / "model.safetensors", tmp_path / "new.csv"
    write_output(path, b"good")
    path.chmod(0o640)
    with no_room(8):
        for file in (path, new):
            with pytest.raises(OSError, match=file.name):
                write_output(file, bytes(100))
    assert path.read_bytes() == b"good"
    assert list(tmp_path.iterdir()) == [path]
    write_output(path, b"better")
    assert path.read_bytes() == b"better"
    assert path.stat().st_mode & 0o777 == 0o640


def test_an_output_goes_through_links_and_into_pipes(tmp_path: Path) -> None:
    """`--out /dev/stdout` would replace a device by a file."""
    target, link, pipe = tmp_path / "target", tmp_path / "link", tmp_path / "pipe"
    link.symlink_to(target)
    write_output(link, b"linked")
    assert link.is_symlink()
    assert target.read_bytes() == b"linked"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_output(pipe, b"piped")
    assert os.read(reader, 10) == b"piped"
    assert pipe.is_fifo()
    os.close(reader)


def test_a_new_file_that_the_disk_did_not_take_is_not_in_the_way(tmp_path: Path) -> None:
    """Half a preset would lie there, and the next `descent presets copy` be refused because of it."""
    path = tmp_path / "mine.toml"
    with no_room(8), pytest.raises(OSError, match=r"mine\.toml"):
        create_text(path, "x" * 100)
    assert not path.exists()
    create_text(path, "whole")
    with pytest.raises(FileExistsError):
        create_text(path, "other")
    assert path.read_text() == "whole"


def test_a_full_disk_is_told_with_the_file(tmp_path: Path) -> None:
    """A training would end with "No space left on device", and nobody would know on which."""
    writer = AppendingWriter(tmp_path / "rows")
    with no_room(), pytest.raises(OSError, match="rows"):
        writer.write(b"1234")
    writer.close()
