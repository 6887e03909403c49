from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from detect.errors import UserError, WorkError, nearest
from detect.system import files

Check = Callable[[Path, str], Path]


@pytest.mark.parametrize("content", [b"", b"one\r\ntwo\x00", bytes(range(256)) * 99])
def test_bytes_are_written_as_they_are_into_new_folders(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "new" / "deep" / "file.bin"
    files.write_bytes(file, content)
    assert file.read_bytes() == content
    assert [entry.name for entry in file.parent.iterdir()] == ["file.bin"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o666 & ~current_umask()


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_text_is_utf8(tmp_path: Path) -> None:
    files.write_text(tmp_path / "a.txt", "größe\n")
    assert (tmp_path / "a.txt").read_bytes() == b"gr\xc3\xb6\xc3\x9fe\n"


@pytest.mark.parametrize("fails", ["fsync", "replace"])
def test_a_failing_write_leaves_the_old_content_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    file = tmp_path / "last.pt"
    files.write_bytes(file, b"old")
    monkeypatch.setattr(*{"fsync": (os, "fsync"), "replace": (Path, "replace")}[fails], fail)
    with pytest.raises(WorkError, match=r"last.pt: expected to write 14 bytes, found: no space"):
        files.write_bytes(file, b"new and longer")
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [("last.pt", b"old")]


def test_the_new_content_is_whole_before_it_takes_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[bytes, bytes]] = []
    replace = Path.replace

    def spy(aside: Path, target: Path) -> Path:
        seen.append((aside.read_bytes(), Path(target).read_bytes()))
        return replace(aside, target)

    files.write_bytes(tmp_path / "a", b"old")
    monkeypatch.setattr(Path, "replace", spy)
    files.write_bytes(tmp_path / "a", b"new")
    assert seen == [(b"new", b"old")]
    assert (tmp_path / "a").read_bytes() == b"new"


@pytest.mark.parametrize(
    ("check", "name", "message"),
    [
        (files.existing_file, "fil.txt", r'fil.txt: expected a list, found nothing \(did you mean "file.txt"\?\)'),
        (files.existing_file, "FILE.TXT", r'did you mean "file.txt"'),
        (files.existing_file, "zzz", r"zzz: expected a list, found nothing$"),
        (files.existing_file, "folder", r"folder: expected a list, found a folder$"),
        (files.existing_file, "foldr/a.txt", r'found nothing \(did you mean "folder"\?\)'),
        (files.existing_file, "zzz/a.txt", r"found nothing \(.* has no zzz\)"),
        (files.existing_folder, "foldr", r'expected a list, found nothing \(did you mean "folder"\?\)'),
        (files.existing_folder, "file.txt", r"file.txt: expected a list, found a file$"),
    ],
)
def test_a_wrong_path_is_named_with_its_nearest_neighbour(
    tmp_path: Path, check: Check, name: str, message: str
) -> None:
    (tmp_path / "file.txt").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match=message):
        check(tmp_path / name, "a list")


def test_a_right_path_is_given_back(tmp_path: Path) -> None:
    (tmp_path / "file.txt").touch()
    assert files.existing_file(tmp_path / "file.txt", "x") == tmp_path / "file.txt"
    assert files.existing_folder(tmp_path, "x") == tmp_path


@pytest.mark.parametrize(
    ("name", "candidates", "hint"),
    [
        ("lr", [], ""),
        ("", ["lr"], ""),
        ("learning", ["lr", "momentum"], ""),
        ("momentun", ["lr", "momentum"], ' (did you mean "momentum"?)'),
        ("resnet_50", ["resnet18", "resnet50"], ' (did you mean "resnet50"?)'),
        ("imagenet1k_v1", ["IMAGENET1K_V1"], ' (did you mean "IMAGENET1K_V1"?)'),
    ],
)
def test_nearest_name(name: str, candidates: list[str], hint: str) -> None:
    assert nearest(name, candidates) == hint


def test_exit_statuses() -> None:
    assert (UserError.status, WorkError.status) == (2, 1)
