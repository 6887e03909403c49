"""The message about a killed worker process names the file that it was reading."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from typing import Any

import pytest
from torch.utils.data import DataLoader

from detect.data.loading.workers import ImageDataset, TrackedDataset, WorkerKilled, explain_worker_death


def kill_this_process(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class FileList(ImageDataset):
    """Image files that are not read; one named ``deadly...`` ends the process that reads it."""

    def __init__(self, files: Sequence[str]) -> None:
        self.files = files

    def file(self, key: int) -> str:
        return self.files[key]

    def __getitem__(self, key: int) -> str:
        if self.files[key].startswith("deadly"):
            kill_this_process()
        return self.files[key]

    def __len__(self) -> int:
        return len(self.files)


def loader(files: Sequence[str], num_workers: int, **settings: Any) -> DataLoader[Any]:
    dataset, batches = TrackedDataset(FileList(files), num_workers), [[index] for index in range(len(files))]
    return DataLoader(dataset, batch_sampler=batches, num_workers=num_workers, **({"collate_fn": list} | settings))


def message(batches: DataLoader[Any]) -> str:
    with pytest.raises(WorkerKilled) as raised, explain_worker_death("data.workers", batches):
        list(batches)
    assert raised.value.status == 1
    return str(raised.value)


@pytest.mark.parametrize("files", [[], ["a"], ["a", "b", "c"]])
@pytest.mark.parametrize("num_workers", [1, 2])
def test_explain_worker_death_without_death_yields_all_files(files: list[str], num_workers: int) -> None:
    with explain_worker_death("data.workers", batches := loader(files, num_workers)):
        assert list(batches) == [[file] for file in files]


@pytest.mark.parametrize("name", ["deadly.jpg", "deadly größe 写真.jpg", "deadly \udcff.jpg", "deadly" + "x" * 5000])
@pytest.mark.parametrize("index", [0, pytest.param(3, marks=pytest.mark.slow)])
def test_explain_worker_death_names_the_file_being_read(name: str, index: int) -> None:
    files = ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"]
    files[index] = name
    error = message(loader(files, 2))
    assert f"ended by the system while it was reading {name[:4095]}: worker (pid" in error
    assert error.endswith("if memory is short, lower data.workers (0: read in the main process)")
    assert "\n" not in error


@pytest.mark.slow  # two processes that import torch
def test_explain_worker_death_names_the_file_of_a_spawned_worker() -> None:
    assert "reading deadly.jpg: worker (pid" in message(loader(["deadly.jpg"], 1, multiprocessing_context="spawn"))


@pytest.mark.slow
def test_explain_worker_death_between_two_images_names_no_file() -> None:
    assert "found one ended by the system: worker (pid" in message(loader(["a.jpg"], 1, collate_fn=kill_this_process))


def test_explain_worker_death_names_the_files_of_two_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    batches = loader(["a.jpg", "b.jpg"], 2)
    assert isinstance(batches.dataset, TrackedDataset)
    monkeypatch.setattr(batches.dataset, "current_file", {7: "a.jpg", 8: None, 9: "b.jpg"}.get)
    with pytest.raises(WorkerKilled, match=r"reading a\.jpg and b\.jpg: "), explain_worker_death("n", batches):
        raise RuntimeError("DataLoader worker (pid(s) 7, 8, 9) exited unexpectedly")


def test_explain_worker_death_lets_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="shape"), explain_worker_death("data.workers", loader([], 1)):
        raise RuntimeError("shape")
