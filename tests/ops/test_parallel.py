from __future__ import annotations

import threading

import pytest
import torch
from torch import Tensor

from detect.ops.parallel import CACHE_ROWS, parallel_map, rows_per_chunk

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("count", [0, 1, 2, 7])
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_every_chunk_in_order(count, mode):
    pieces = [torch.full((2,), float(n)) for n in range(count)]
    with mode():
        actual = parallel_map(lambda piece: piece * 2, pieces, CPU)
    assert [chunk.tolist() for chunk in actual] == [[n * 2.0] * 2 for n in range(count)]


def test_two_chunks_run_at_once_with_one_thread_each():
    both = threading.Barrier(2)  # broken after 20 seconds where the second piece waits for the first

    def run(piece: Tensor) -> Tensor:
        both.wait(20)
        return piece + torch.get_num_threads()

    with torch.no_grad():
        actual = parallel_map(run, [torch.zeros(1), torch.ones(1)], CPU)
    assert torch.cat(actual).tolist() == [1, 2]
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("mixed", [False, True])
def test_threads_use_the_callers_precision_and_mode(mixed):
    layer, pieces = torch.nn.Linear(3, 3), [torch.ones(1, 3), torch.zeros(1, 3)]
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, mixed):
        actual = parallel_map(layer, pieces, CPU)
    assert [chunk.dtype for chunk in actual] == [torch.bfloat16 if mixed else torch.float32] * 2
    assert all(chunk.is_inference() for chunk in actual)


def test_gradients_reach_the_inputs_of_the_chunks():
    scale = torch.ones(1, requires_grad=True)
    torch.cat(parallel_map(lambda piece: piece * scale, [torch.ones(2), torch.ones(3)], CPU)).sum().backward()
    assert scale.grad is not None
    assert scale.grad.item() == 5


def test_error_in_a_chunk_reaches_the_caller():
    def fail(piece: Tensor) -> Tensor:
        raise ArithmeticError(str(piece.item()))

    with torch.no_grad(), pytest.raises(ArithmeticError, match=r"1\.0"):
        parallel_map(fail, [torch.ones(1), torch.ones(1)], CPU)


@pytest.mark.parametrize(("max_rows", "rows"), [(1, 1), (3, 1), (8, 4), (1000, CACHE_ROWS)])
def test_rows_per_chunk_of_all_cores_respects_the_maximum(max_rows, rows):
    with torch.no_grad():
        assert rows_per_chunk(max_rows, CPU) == rows
    assert rows_per_chunk(max_rows, CPU) == max_rows
    assert rows_per_chunk(max_rows, torch.device("cuda")) == max_rows
