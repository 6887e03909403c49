"""The death of a process that reads images is told with the file that it was at."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from typing import Any

import pytest
from torch.utils.data import DataLoader

from detect.data.loading.workers import Images, ReadByWorkers, WorkerEnded, told_when_a_worker_ends


def end_this_process(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Listed(Images):
    """Images of which nothing is known but their names; one named ``deadly...`` ends the process that reads it."""

    def __init__(self, files: Sequence[str]) -> None:
        self.files = files

    def file(self, pick: int) -> str:
        return self.files[pick]

    def __getitem__(self, pick: int) -> str:
        if self.files[pick].startswith("deadly"):
            end_this_process()
        return self.files[pick]

    def __len__(self) -> int:
        return len(self.files)


def loader(files: Sequence[str], workers: int, **settings: Any) -> DataLoader[Any]:
    images, places = ReadByWorkers(Listed(files), workers), [[place] for place in range(len(files))]
    return DataLoader(images, batch_sampler=places, num_workers=workers, **({"collate_fn": list} | settings))


def message(batches: DataLoader[Any]) -> str:
    with pytest.raises(WorkerEnded) as raised, told_when_a_worker_ends("data.workers", batches):
        list(batches)
    assert raised.value.status == 1
    return str(raised.value)


@pytest.mark.parametrize("files", [[], ["a"], ["a", "b", "c"]])
@pytest.mark.parametrize("workers", [1, 2])
def test_where_none_ends_images_are_as_without_workers(files: list[str], workers: int) -> None:
    with told_when_a_worker_ends("data.workers", batches := loader(files, workers)):
        assert list(batches) == [[file] for file in files]


@pytest.mark.parametrize("name", ["deadly.jpg", "deadly größe 写真.jpg", "deadly \udcff.jpg", "deadly" + "x" * 5000])
@pytest.mark.parametrize("place", [0, 3])
def test_the_file_that_the_worker_was_reading_is_named(name: str, place: int) -> None:
    files = ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"]
    files[place] = name
    told = message(loader(files, 2))
    assert f"ended by the system while it was reading {name[:4095]}: worker (pid" in told
    assert told.endswith("if memory is short, lower data.workers (0: read in the main process)")
    assert "\n" not in told


@pytest.mark.slow  # two processes that import torch
def test_it_is_named_where_workers_are_not_forks() -> None:
    assert "reading deadly.jpg: worker (pid" in message(loader(["deadly.jpg"], 1, multiprocessing_context="spawn"))


def test_between_two_images_no_file_is_blamed() -> None:
    assert "found one ended by the system: worker (pid" in message(loader(["a.jpg"], 1, collate_fn=end_this_process))


def test_two_that_torch_names_at_once_are_both_told(monkeypatch: pytest.MonkeyPatch) -> None:
    batches = loader(["a.jpg", "b.jpg"], 2)
    assert isinstance(batches.dataset, ReadByWorkers)
    monkeypatch.setattr(batches.dataset, "file_at", {7: "a.jpg", 8: None, 9: "b.jpg"}.get)
    with pytest.raises(WorkerEnded, match=r"reading a\.jpg and b\.jpg: "), told_when_a_worker_ends("n", batches):
        raise RuntimeError("DataLoader worker (pid(s) 7, 8, 9) exited unexpectedly")


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="shape"), told_when_a_worker_ends("data.workers", loader([], 1)):
        raise RuntimeError("shape")
