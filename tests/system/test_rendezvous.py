"""Processes of a start meet through a store that earlier starts have written to."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from torch.distributed import TCPStore  # type: ignore[attr-defined] # torch's types do not export it

from detect.errors import RunError
from detect.system.rendezvous import agree_on_start, store_of_this_start


def start(port: int, ranks: list[int], size: int) -> list[str]:
    """The names that processes of a start get which come in this order; each has a connection of its own."""
    timeout = timedelta(seconds=60)
    with ThreadPoolExecutor(len(ranks)) as pool:
        stores = [TCPStore("127.0.0.1", port, is_master=False, timeout=timeout) for _ in ranks]
        names = [
            pool.submit(agree_on_start, store, rank, size, timeout) for store, rank in zip(stores, ranks, strict=True)
        ]
        return [name.result() for name in names]


@pytest.mark.parametrize("size", [2, 3])
def test_each_start_has_a_name_of_its_own(size: int) -> None:
    server = TCPStore("127.0.0.1", 0, is_master=True)
    server.set("detect/newest/1", "a process that was killed before it had an answer")
    starts = [start(server.port, order, count) for count in (size, size + 1, size) for order in _orders(count)]
    assert all(len(set(names)) == 1 for names in starts)
    assert len({names[0] for names in starts}) == len(starts)


def _orders(count: int) -> list[list[int]]:
    return [list(range(count)), list(range(count))[::-1]]


@pytest.mark.parametrize("gone", [[], [2]])
def test_the_ranks_are_named_that_never_answer(gone: list[int]) -> None:
    server = TCPStore("127.0.0.1", 0, is_master=True)
    for rank in gone:
        server.set(f"detect/newest/{rank}", "a process that was killed before it had an answer")
    with pytest.raises(RunError, match=r"^expected 3 processes within 0:00:00.2\d*, found no answer of rank 1, 2$"):
        agree_on_start(server, 0, 3, timedelta(seconds=0.2))


def test_without_a_store_of_torchrun_there_is_nothing_to_agree_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHELASTIC_USE_AGENT_STORE", raising=False)
    assert store_of_this_start(0, 2, timedelta(seconds=1)) is None
