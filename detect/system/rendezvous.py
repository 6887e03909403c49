"""How processes that torchrun starts again meet: by keys that no process of an earlier start has written.

Torchrun (2.14) keeps one store for all starts. There a new process may read the address of one that is gone, and give
up (pytorch/pytorch#135712). Its count of restarts does not tell the starts apart: each machine counts its own.
"""

from __future__ import annotations

import os
import time
import uuid
from datetime import timedelta

from torch.distributed import PrefixStore, Store  # type: ignore[attr-defined] # torch's types do not export them
from torch.distributed.rendezvous import rendezvous

from detect.errors import RunError

_SECONDS_BETWEEN_LOOKS = 0.05


def store_of_this_start(rank: int, size: int, timeout: timedelta) -> Store | None:
    """Return a store that the processes of this start have for themselves, None where torchrun keeps none.

    timeout: how long to wait for the others. Raises RunError after it.
    """
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return None
    store, _, _ = next(rendezvous("env://", rank, size, timeout=timeout))
    store.set_timeout(timeout)
    return PrefixStore(agree_on_start(store, rank, size, timeout), store)


def agree_on_start(store: Store, rank: int, size: int, timeout: timedelta) -> str:
    """Return a name of this start that all its processes get, and no other start.

    Process 0 draws it and answers to the newest name of each other process, under that name: so whoever reads the
    answer knows that it is not an old one. It answers until all have confirmed; after the timeout it raises RunError.
    The others wait as long as the store does, whose error torch raises.
    """
    if rank > 0:
        process = uuid.uuid4().hex
        store.set(f"detect/newest/{rank}", process)
        start = store.get(f"detect/answer/{process}").decode()
        store.set(f"detect/confirmed/{start}/{rank}", "")
        return start
    start = uuid.uuid4().hex
    answered: set[bytes] = set()
    deadline = time.monotonic() + timeout.total_seconds()
    others = range(1, size)
    while missing := [other for other in others if not store.check([f"detect/confirmed/{start}/{other}"])]:
        if time.monotonic() > deadline:
            ranks = ", ".join(map(str, missing))
            raise RunError(f"expected {size} processes within {timeout}, found no answer of rank {ranks}")
        for other in others:
            if not store.check([f"detect/newest/{other}"]):
                continue  # it has not come yet; get would wait for it, and not for the deadline
            process_name = store.get(f"detect/newest/{other}")
            if process_name not in answered:
                store.set(f"detect/answer/{process_name.decode()}", start)
                answered.add(process_name)
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    return start
