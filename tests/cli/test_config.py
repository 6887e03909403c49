from __future__ import annotations

from pathlib import Path

import pytest

from detect.config import files as config_files
from detect.config.describe_files import load_any_config
from detect.config.files import builtin_folder, load_config
from tests.conftest import Command


@pytest.fixture
def inheriting_configs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Replace the built-in configurations by two, of which one inherits from the other."""
    folder = tmp_path / "builtin"
    (folder / "sub").mkdir(parents=True)
    (folder / "plain.yaml").write_text("seed: 7\n", encoding="utf-8")
    (folder / "sub" / "child.yaml").write_text("# For a test.\n# More.\nbase: ../plain.yaml\n", encoding="utf-8")
    monkeypatch.setattr(config_files, "builtin_folder", lambda: folder)
    return folder


def test_list_prints_names_and_first_comments(inheriting_configs: Path, detect_command: Command) -> None:
    status, out, err = detect_command("config", "list")
    assert (status, err) == (0, "")
    assert [line.split() for line in out.splitlines()] == [["plain"], ["sub/child", "For", "a", "test."]]
    assert (inheriting_configs / "plain.yaml").is_file()


@pytest.mark.slow
def test_listed_configs_can_be_shown_copied_and_loaded(tmp_path: Path, detect_command: Command) -> None:
    names = [line.split()[0] for line in detect_command("config", "list")[1].splitlines()]
    assert "faster_rcnn" in names
    for name in names:
        status, out, err = detect_command("config", "show", name)
        assert (status, err) == (0, "")
        (tmp_path / "shown.yaml").write_text(out, encoding="utf-8")
        folder = tmp_path / name  # two folders may hold files of the same name
        folder.mkdir(parents=True)
        copy = folder / f"{Path(name).name}.yaml"
        assert detect_command("config", "copy", name, folder)[0] == 0
        expected = load_any_config(builtin_folder() / f"{name}.yaml")
        assert load_any_config(tmp_path / "shown.yaml") == load_any_config(copy) == expected


def test_show_applies_overrides(detect_command: Command) -> None:
    status, out, _ = detect_command("config", "show", "faster_rcnn", "--set", "train.lr=1e-3", "--set", "seed=9")
    assert status == 0
    assert "seed: 9\n" in out
    assert "  lr: 0.001\n" in out


def test_copy_includes_inherited_settings(inheriting_configs: Path, tmp_path: Path, detect_command: Command) -> None:
    status, out, _ = detect_command("config", "copy", "sub/child", tmp_path / "new" / "mine.yaml")
    assert status == 0
    assert f"detect train --config {tmp_path / 'new' / 'mine.yaml'}" in out
    text = (tmp_path / "new" / "mine.yaml").read_text(encoding="utf-8")
    assert text.startswith("# For a test.\n# More.\nseed: 7\n")
    assert load_config(tmp_path / "new" / "mine.yaml") == load_config(inheriting_configs / "sub" / "child.yaml")


@pytest.mark.parametrize("name", ["fast_rcnn", "cascade_rcnn", "rcnn"])
def test_kind_of_a_copy_can_be_changed_like_that_of_the_original(
    name: str, tmp_path: Path, detect_command: Command
) -> None:
    copy = tmp_path / "mine.yaml"
    assert detect_command("config", "copy", name, copy)[0] == 0
    for kind in ("fast_rcnn", "faster_rcnn", "cascade_rcnn"):
        original = load_config(builtin_folder() / f"{name}.yaml", [f"model.kind={kind}"])
        assert load_config(copy, [f"model.kind={kind}"]) == original, kind


WRONG_USAGE = [
    (("show", "faster_rcn"), '(did you mean "faster_rcnn"?)'),
    (
        ("show", "configs/zzz.yaml"),
        "configs/zzz.yaml: expected a built-in configuration, found none of that name; known:",
    ),
    (("show", "faster_rcnn", "--set", "train.lrr=1"), 'train.lrr: unknown key (did you mean "lr"?)'),
    (
        ("copy", "faster_rcnn", "{tmp}/there.yaml"),
        "there.yaml: expected a new file, found one that exists",
    ),
    (("copy", "faster_rcnn", "{tmp}"), "faster_rcnn.yaml: expected a new file, found one that exists"),
    (("shwo", "faster_rcnn"), 'no command shwo (did you mean "show"?)'),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG_USAGE)
def test_wrong_usage_prints_one_line_and_exits_with_2(
    arguments: tuple[str, ...], message: str, tmp_path: Path, detect_command: Command
) -> None:
    for name in ("there.yaml", "faster_rcnn.yaml"):
        (tmp_path / name).write_text("mine", encoding="utf-8")
    status, _, err = detect_command("config", *(argument.format(tmp=tmp_path) for argument in arguments))
    assert status == 2
    assert message in err
    assert len(err.splitlines()) == 1
    assert {file.read_text(encoding="utf-8") for file in tmp_path.iterdir()} == {"mine"}
