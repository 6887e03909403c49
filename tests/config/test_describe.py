from __future__ import annotations

from pathlib import Path

import pytest

from detect.config.describe import DescribeConfig
from detect.config.describe_files import load_any_config, load_describe_config
from detect.config.files import builtin_folder, load_config, to_yaml
from detect.errors import UserError

FILES = sorted(builtin_folder().rglob("describe_*.yaml"))


def load(folder: Path, text: str, *overrides: str) -> DescribeConfig:
    """Return the settings of a file with this text and these overrides."""
    file = folder / "run.yaml"
    file.write_text(text)
    return load_describe_config(file, overrides)


def test_there_is_a_configuration_for_each_format() -> None:
    assert {load_describe_config(file).data.format for file in FILES} == {"shapes", "flickr8k", "coco"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_builtin_configuration_is_read_by_name_and_written_back(file: Path, tmp_path: Path) -> None:
    config = load_describe_config(Path(file.stem))
    assert load(tmp_path, to_yaml(config)) == config == load_any_config(file)
    assert f"detect describe train --config configs/{file.name}" in file.read_text(encoding="utf-8")


def test_a_file_with_a_detector_alone_has_the_defaults(tmp_path: Path) -> None:
    config = load(tmp_path, "detector: runs/x")
    assert config == DescribeConfig(detector="runs/x")
    assert (config.alignment.reduction, config.features.regions, config.words.min_count) == ("max", 19, 5)


@pytest.mark.parametrize(
    ("text", "overrides", "message"),
    [
        ("", [], "run.yaml: detector: Field required"),
        ("detector: x", ["alignment.lrr=1"], r'alignment.lrr: unknown key \(did you mean "lr"\?\)'),
        ("detector: x", ["alignment.reduction=mean"], "alignment.reduction: expected 'max' or 'sum', found 'mean'"),
        ("detector: x", ["alignment.batch_size=1"], "alignment.batch_size: .* greater than or equal to 2, found 1"),
        ("detector: x", ["data.format=flickr"], r'data.format: .* \(did you mean "flickr8k"\?\)'),
        ("detector: x", ["generator.dropout=1"], "generator.dropout: .* less than 1, found 1"),
        ("model: {kind: rcnn}", [], "expected settings of detect describe train, found those of a detector"),
    ],
)
def test_a_mistake_is_one_line_with_the_key(text: str, overrides: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message) as caught:
        load(tmp_path, text, *overrides)
    assert len(str(caught.value).splitlines()) == 1


def test_overrides_are_typed_and_null_is_the_default(tmp_path: Path) -> None:
    config = load(tmp_path, "{detector: x, words: {vectors: a.txt}}", "alignment.lr=1e-2", "words.vectors=null")
    assert (config.alignment.lr, config.words.vectors) == (0.01, None)
    assert load(tmp_path, "detector: x", "alignment.epochs=3", "alignment.epochs=null").alignment.epochs == 20


def test_detect_train_refuses_settings_of_describe(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("detector: x")
    with pytest.raises(UserError, match="expected settings of a detector, found those of detect describe train"):
        load_config(file)
