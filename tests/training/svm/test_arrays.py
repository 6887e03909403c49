"""Arrays kept in a file: the same again, or one line that says what was expected."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from detect.errors import UserError
from detect.training.svm.arrays import read_arrays, write_arrays


@pytest.mark.parametrize("arrays", [{}, {"a": np.zeros((0, 4), np.float16), "b": np.array(3), "c": np.arange(4) > 1}])
def test_arrays_written_are_read_unchanged(arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    write_arrays(tmp_path / "some.npz", arrays)
    loaded = read_arrays(tmp_path / "some.npz", "some arrays", list(arrays))
    assert [(one.dtype, one.shape, one.tolist()) for one in loaded] == [
        (one.dtype, one.shape, one.tolist()) for one in arrays.values()
    ]


@pytest.mark.parametrize("content", [None, b"", b"no archive", b"PK\x03\x04cut"])
def test_read_arrays_of_another_file_is_refused(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "some.npz").write_bytes(content)
    with pytest.raises(UserError, match=r"some\.npz: expected some arrays, found"):
        read_arrays(tmp_path / "some.npz", "some arrays", ["a"])


def test_read_arrays_missing_name_is_in_the_message(tmp_path: Path) -> None:
    write_arrays(tmp_path / "some.npz", {"a": np.zeros(1)})
    with pytest.raises(UserError, match=r"expected some arrays, found: .*other"):
        read_arrays(tmp_path / "some.npz", "some arrays", ["a", "other"])


def test_read_arrays_of_pickled_objects_is_refused(tmp_path: Path) -> None:
    write_arrays(tmp_path / "some.npz", {"a": np.array([{}], object)})
    with pytest.raises(UserError, match=r"expected some arrays, found: .*allow_pickle"):
        read_arrays(tmp_path / "some.npz", "some arrays", ["a"])
