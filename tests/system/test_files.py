from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from detect.errors import RunError, UserError, did_you_mean
from detect.system import files

Require = Callable[[Path, str], Path]


@pytest.mark.parametrize("content", [b"", b"one\r\ntwo\x00", bytes(range(256)) * 99])
def test_write_bytes_creates_folders_and_writes_the_exact_bytes(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "new" / "deep" / "file.bin"
    files.write_bytes(file, content)
    assert file.read_bytes() == content
    assert [entry.name for entry in file.parent.iterdir()] == ["file.bin"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o666 & ~current_umask()


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_write_text_encodes_utf8(tmp_path: Path) -> None:
    files.write_text(tmp_path / "a.txt", "größe\n")
    assert (tmp_path / "a.txt").read_bytes() == b"gr\xc3\xb6\xc3\x9fe\n"


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_write_bytes_when_it_fails_keeps_the_old_content_and_no_temp_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    file = tmp_path / "last.pt"
    files.write_bytes(file, b"old")
    monkeypatch.setattr(*{"fsync": (os, "fsync"), "replace": (Path, "replace")}[failing], fail)
    with pytest.raises(RunError, match=r"last.pt: expected to write 14 bytes, found: no space"):
        files.write_bytes(file, b"new and longer")
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [("last.pt", b"old")]


def test_write_bytes_completes_the_content_before_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents: list[tuple[bytes, bytes]] = []
    replace = Path.replace

    def record(temp_path: Path, target: Path) -> Path:
        contents.append((temp_path.read_bytes(), Path(target).read_bytes()))
        return replace(temp_path, target)

    files.write_bytes(tmp_path / "a", b"old")
    monkeypatch.setattr(Path, "replace", record)
    files.write_bytes(tmp_path / "a", b"new")
    assert contents == [(b"new", b"old")]
    assert (tmp_path / "a").read_bytes() == b"new"


@pytest.mark.parametrize(
    ("require", "name", "message"),
    [
        (files.require_file, "fil.txt", r'fil.txt: expected a list, found nothing \(did you mean "file.txt"\?\)'),
        (files.require_file, "FILE.TXT", r'did you mean "file.txt"'),
        (files.require_file, "zzz", r"zzz: expected a list, found nothing$"),
        (files.require_file, "folder", r"folder: expected a list, found a folder$"),
        (files.require_file, "foldr/a.txt", r'found nothing \(did you mean "folder"\?\)'),
        (files.require_file, "broken.txt", r"expected a list, found a link to gone.txt, which does not exist$"),
        (files.require_folder, "broken.txt", r"expected a list, found a link to gone.txt, which does not exist$"),
        (files.require_file, "brken.txt", r'found nothing \(did you mean "broken.txt"\?\)'),
        (files.require_file, "zzz/a.txt", r"found nothing \(.* has no zzz\)"),
        (files.require_folder, "foldr", r'expected a list, found nothing \(did you mean "folder"\?\)'),
        (files.require_folder, "file.txt", r"file.txt: expected a list, found a file$"),
    ],
)
def test_require_file_or_folder_of_a_wrong_path_suggests_a_similar_name(
    tmp_path: Path, require: Require, name: str, message: str
) -> None:
    (tmp_path / "file.txt").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "broken.txt").symlink_to("gone.txt")
    with pytest.raises(UserError, match=message):
        require(tmp_path / name, "a list")


def test_require_file_and_folder_return_an_existing_path(tmp_path: Path) -> None:
    (tmp_path / "file.txt").touch()
    assert files.require_file(tmp_path / "file.txt", "x") == tmp_path / "file.txt"
    assert files.require_folder(tmp_path, "x") == tmp_path


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
def test_did_you_mean_suggests_a_similar_name(name: str, candidates: list[str], hint: str) -> None:
    assert did_you_mean(name, candidates) == hint


def test_exit_status_of_user_error_is_2_and_of_run_error_1() -> None:
    assert (UserError.status, RunError.status) == (2, 1)


@pytest.mark.parametrize("letter", ["a", "ä", "写", "🐕"])
@pytest.mark.parametrize("suffix", ["", ".jpg"])
def test_fit_name_gives_names_that_can_be_written_and_differ(tmp_path: Path, letter: str, suffix: str) -> None:
    lengths = [0, 1, *range(60, 64), *range(82, 86), *range(124, 129), *range(245, 260)]
    names = [letter * length for length in lengths]
    names += [f"{letter * 300}{end}" for end in "xy"]
    fitted = [files.fit_name(name, suffix) for name in names]
    assert len(set(fitted)) == len(names)
    for name, short in zip(names, fitted, strict=True):
        assert short.endswith(suffix)
        assert len(short.encode()) <= 255
        assert short == name + suffix or len((name + suffix).encode()) > 255
        if short:
            files.write_text(tmp_path / short, name)
    assert sorted(file.read_text(encoding="utf-8") for file in tmp_path.iterdir()) == sorted(
        name for name, short in zip(names, fitted, strict=True) if short
    )


def test_remove_temp_files_of_a_long_name(tmp_path: Path) -> None:
    name = "a" * 255
    handle, _ = tempfile.mkstemp(prefix=files._temp_prefix(name), suffix=".aside", dir=tmp_path)
    os.close(handle)
    files.write_text(tmp_path / name, "text")
    files.remove_temp_files(tmp_path, name)
    assert [file.name for file in tmp_path.iterdir()] == [name]
