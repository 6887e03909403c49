"""The loop with a second process that has the same batches, which a stand-in for the exchange adds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest
import torch
from torch import Tensor, distributed

from detect.system.distributed import ProcessGroup
from detect.training.loop import NonFiniteStep
from tests.training.test_loop import ReadLate, Recorder, average, batch, num_forwards, run_loop, train_state, weight

CPU = torch.device("cpu")


class Finished:
    """A sum over processes that is done."""

    def __init__(self, tensor: Tensor) -> None:
        self.future: torch.futures.Future[list[Tensor]] = torch.futures.Future()
        self.future.set_result([tensor])

    def get_future(self) -> torch.futures.Future[list[Tensor]]:
        return self.future


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[str]]:
    """The exchanges of a step, in order; those of DDP itself go to a group of this process alone."""
    made: list[str] = []

    def all_gather_object(values: list[object], value: object, **_: object) -> None:
        made.append("gather")
        values[:] = [value, value]

    def all_reduce(tensor: Tensor, group: object = None, async_op: bool = False) -> Finished:  # noqa: ARG001
        made.append("sum" if async_op else "flags")
        return Finished(tensor.mul_(2))

    monkeypatch.setattr(distributed, "all_gather_object", all_gather_object)
    monkeypatch.setattr(distributed, "all_reduce", all_reduce)
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'rendezvous'}", rank=0, world_size=1)
    yield made
    distributed.destroy_process_group()


PAIR = ProcessGroup(0, 2)
STEP = ["gather", "gather", "sum", "flags"]  # sizes, counts of losses, gradients, which gradients there are


def test_processes_exchange_little(calls: list[str]) -> None:
    """The losses are means over both processes, and gradients are summed."""
    state, recorder = train_state(), Recorder()
    run_loop(state, map(batch, [1.0, 3.0]), recorder, 2, group=PAIR, log_every=2)
    assert weight(state) == 1.75
    assert recorder.rows[0]["loss"] == pytest.approx((1.0 + 2.5**2) / 2)
    assert calls == [*STEP, "flags", *STEP, "gather", "flags"]  # interrupts; losses of the row


@pytest.mark.parametrize(
    ("values", "expected", "exchanges"),
    [
        ([], 0.0, ["gather", "gather"]),
        ([(), (2.0,)], 0.5, ["gather", *STEP]),
        ([(0.0,), (2.0,)], 0.5, ["gather", "gather", *STEP]),
        ([(2.0,), ()], 0.5, ["gather", "gather", *STEP]),  # the last batch has no image, but sums for the first
    ],
)
def test_gradients_of_several_batches_are_summed_once(
    values: list[tuple[float, ...]], expected: float, exchanges: list[str], calls: list[str]
) -> None:
    state, recorder = train_state(), Recorder()
    batches = iter([batch(*each) for each in values or [(), ()]])
    run_loop(state, batches, recorder, 1, group=PAIR, accumulate=2, log_every=9)
    assert weight(state) == pytest.approx(expected)
    assert calls[:-1] == exchanges  # then the flags of interrupts


def test_hooks_are_removed_from_the_weights(calls: list[str]) -> None:
    state = train_state()
    run_loop(state, map(batch, [1.0]), Recorder(), 1, group=PAIR)
    count = len(calls)
    (next(state.detector.parameters()) ** 2).backward()
    assert len(calls) == count
    assert not next(state.detector.parameters())._post_accumulate_grad_hooks


@pytest.mark.parametrize("reads_late", [False, True])
def test_losses_of_another_process_are_not_finite(
    reads_late: bool, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    add = cast(Callable[..., Finished], distributed.all_reduce)

    def all_reduce(tensor: Tensor, group: object = None, async_op: bool = False) -> Finished:
        if async_op:
            tensor[0] = float("nan")  # the losses come first
        return add(tensor, group, async_op)

    monkeypatch.setattr(distributed, "all_reduce", all_reduce)
    state, recorder = train_state(ema_decay=0.9), Recorder()
    compute = ReadLate(CPU)
    object.__setattr__(compute, "is_asynchronous", reads_late)
    message = r"^step 1: expected finite numbers, found the losses of another process; "
    with pytest.raises(NonFiniteStep, match=message):
        run_loop(state, map(batch, [1.0, 1.0]), recorder, 2, compute, PAIR, log_every=100)
    assert recorder.bad_files == ["1.jpg"]
    assert (state.progress.step, weight(state), average(state), num_forwards(state)) == (0, 0.0, 0.0, 0)
    assert "sum" in calls
