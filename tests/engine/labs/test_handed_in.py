"""Hand-ins are found wherever a class puts them, and a zip that wants more than to be read is refused."""

import io
import json
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.labs import handed_in
from engine.labs.handed_in import BrokenError, HandedIn, Uploaded, find

MANIFEST = json.dumps({"format": 2, "lab": "slow"})


def packed(files: dict[str, str | bytes]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return held.getvalue()


HAND_IN = packed({"handin.json": MANIFEST, "slow.toml": "title = 'x'"})


def names_in(one: HandedIn) -> set[str]:
    with one.opened() as folder:
        return {path.name for path in folder.iterdir()}


def test_a_class_hands_in_folders_zips_and_trees(tmp_path: Path) -> None:
    """An instructor would have to sort and unpack what thirty students sent."""
    for folder in ("2021/mina", "2021/.trash/old"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "handin.json").write_text(MANIFEST)
    (tmp_path / "slow-jun.zip").write_bytes(HAND_IN)
    in_a_folder = {"slow-sora/handin.json": MANIFEST, "slow-sora/slow.toml": "", "__MACOSX/slow-sora/._x": b"\0"}
    (tmp_path / "from-a-mac.zip").write_bytes(packed(in_a_folder))
    found = find([tmp_path, tmp_path / "slow-jun.zip"])
    assert [one.name for one in found] == ["slow-sora", "slow-jun", "mina"]
    assert [names_in(one) for one in found[:2]] == [{"handin.json", "slow.toml"}] * 2


def test_what_moodle_and_canvas_give(tmp_path: Path) -> None:
    """The grades of a class would have to be typed into its gradebook."""
    moodle = {
        "김 민아_12345_assignsubmission_file_/slow-mina.zip": HAND_IN,
        "Jun Lee_678_assignsubmission_file_slow-jun.zip": HAND_IN,
        "Sora_9_assignsubmission_file_/slow-sora/handin.json": MANIFEST,
    }
    (tmp_path / "moodle.zip").write_bytes(packed(moodle))
    found = find([tmp_path / "moodle.zip"])
    assert {one.uploaded for one in found} == {
        Uploaded("moodle", "김 민아", "12345"),
        Uploaded("moodle", "Jun Lee", "678"),
        Uploaded("moodle", "Sora", "9"),
    }
    assert all("handin.json" in names_in(one) for one in found)
    canvas = {"kimmina_123_456_slow-mina.zip": HAND_IN, "leejun_LATE_7_8_slow-jun.zip": HAND_IN}
    (tmp_path / "submissions.zip").write_bytes(packed(canvas))
    assert [one.uploaded for one in find([tmp_path / "submissions.zip"])] == [
        Uploaded("canvas", "kimmina", "123"),
        Uploaded("canvas", "leejun", "7", late=True),
    ]
    with zipfile.ZipFile(tmp_path / "moodle.zip") as archive:
        archive.extractall(tmp_path / "unpacked")
    assert {one.uploaded for one in find([tmp_path / "unpacked"])} == {one.uploaded for one in found}


@pytest.mark.parametrize("encoding", ["utf-8", "cp949"])
def test_a_download_that_was_packed_again(tmp_path: Path, encoding: str) -> None:
    """macOS and Windows do not say in which encoding names are: gradebooks would have other letters for them."""
    place = "김 민아_12345_assignsubmission_file_/slow-민아.zip"
    raw = place.encode(encoding)
    stand_in = "x" * len(raw)
    content = packed({stand_in: HAND_IN}).replace(stand_in.encode(), raw)
    (tmp_path / "moodle.zip").write_bytes(content)
    (found,) = find([tmp_path / "moodle.zip"])
    assert found.uploaded == Uploaded("moodle", "김 민아", "12345")
    assert found.name == "김 민아: slow-민아"
    assert "handin.json" in names_in(found)


MOODLE = {
    "Mina_1_assignsubmission_file_/slow-mina.zip": HAND_IN,
    "Mina_1_assignsubmission_file_/notes.txt": "",
    "Jun_2_assignsubmission_file_/hw.py": "print()",
    "Jun_2_assignsubmission_file_/plots/loss.png": "",
    "Sora_3_assignsubmission_file_/": "",
    "Yuna_4_assignsubmission_file_hw.pdf": "",
    "Hana_5_assignsubmission_onlinetext_/onlinetext.html": "",
    "Sea_6_assignsubmission_file_/project.zip": packed({"project/main.py": ""}),
}
CANVAS = {"kimmina_1_7_slow-mina.zip": HAND_IN, "leejun_LATE_2_8_hw.py": "", "parksora_3_text.html": ""}


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (
            MOODLE,
            {
                "Jun": "; it has: hw.py, loss.png",
                "Sora": "no zip",
                "Yuna: hw.pdf": "; it has: Yuna_4_assignsubmission_file_hw.pdf",
                "Hana": "; it has: onlinetext.html",
                "Sea: project": "; it has: project/main.py",
            },
        ),
        (CANVAS, {"leejun_LATE_2_8_hw.py": "; it has: leejun_LATE_2_8_hw.py", "parksora_3_text.html": "text.html"}),
    ],
)
@pytest.mark.parametrize("is_packed", [True, False])
def test_who_hands_in_something_else_is_not_left_out(
    tmp_path: Path, files: dict[str, str | bytes], told: dict[str, str], is_packed: bool
) -> None:
    """A student who uploads the code alone would be missing in the table, as if they had handed in nothing."""
    path = tmp_path / "download.zip"
    path.write_bytes(packed(files))
    if not is_packed:
        path = tmp_path / "download"
        with zipfile.ZipFile(tmp_path / "download.zip") as archive:
            archive.extractall(path)
    found = {}
    for one in find([path]):
        assert one.uploaded is not None
        try:
            with one.opened():
                assert one.uploaded.id == "1"
        except BrokenError as error:
            found[one.name] = str(error)
    assert found.keys() == told.keys()
    for name, text in told.items():
        assert found[name].startswith("there is no hand-in in it")
        assert found[name].endswith(text)


def _link() -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("handin.json", MANIFEST)
        entry = zipfile.ZipInfo("slow.py")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")
    return held.getvalue()


def _encrypted() -> bytes:
    content = bytearray(HAND_IN)
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = -1
        while (at := content.find(mark, at + 1)) >= 0:
            content[at + offset] |= 1
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (lambda: packed({"handin.json": MANIFEST, "../../.bashrc": "rm"}), "leads out of the zip"),
        (lambda: packed({"handin.json": MANIFEST, "/etc/cron.d/x": "rm"}), "leads out of the zip"),
        (lambda: packed({"a/../../x.zip": HAND_IN}), "leads out of the zip"),
        (lambda: packed({"handin.json": MANIFEST, "..\\x": "rm"}), "leads out of the zip"),
        (_link, "slow.py: is a link or a device"),
        (_encrypted, "is encrypted"),
        (lambda: packed({"handin.json": MANIFEST, "slow.py": bytes(50 << 20)}), "slow.py: is larger than"),
        (lambda: packed({"handin.json": MANIFEST, **{f"{n}.py": "" for n in range(100)}}), "more than 64 files"),
        (lambda: packed({"x.txt": "no hand-in"}), "no hand-in in it"),
        (lambda: packed({"inner.zip": b"PK\x03\x04" + bytes(100)}), "no whole zip"),
        (lambda: HAND_IN[: len(HAND_IN) // 2], "no whole zip"),
        (lambda: b"", "no whole zip"),
    ],
)
def test_a_zip_that_wants_more_than_to_be_read(tmp_path: Path, content: Callable[[], bytes], why: str) -> None:
    """Somebody's zip would write outside, read a file of the instructor's, or fill the memory or the disk."""
    file = tmp_path / "slow-mina.zip"
    file.write_bytes(content())
    before = set(tmp_path.rglob("*"))
    [one] = find([file])
    with pytest.raises(BrokenError, match=why), one.opened():
        pass
    assert set(tmp_path.rglob("*")) == before


def test_a_manifest_in_a_zip_of_many_files_is_found_without_reading_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A download with more files than anybody hands in would take the memory of the machine."""
    monkeypatch.setattr(handed_in, "MOST_ENTRIES", 10)
    (tmp_path / "a.zip").write_bytes(packed({f"{n}/handin.json": MANIFEST for n in range(11)}))
    assert "more than 10 files" in find([tmp_path / "a.zip"])[0].problem


def test_what_is_no_hand_in_is_said(tmp_path: Path) -> None:
    """A wrong path would be a class without hand-ins."""
    (tmp_path / "empty").mkdir()
    problems = [one.problem for one in find([tmp_path / "empty", tmp_path / "nowhere.zip"])]
    assert problems[0] == "there is no hand-in in it: no handin.json and no zip"
    assert "No such file" in problems[1]
