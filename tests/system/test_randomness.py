from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from detect.system import randomness

CPU = torch.device("cpu")
MASK = (1 << 64) - 1


def splitmix64(seed: int, count: int) -> list[float]:
    """Steele, Lea and Flood 2014, as published: unsigned 64-bit integers, one after the other."""
    state, drawn = seed, []
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        drawn.append((z ^ (z >> 31)) >> 11)
    return [value / 2**53 for value in drawn]


def test_reference_implementation_equals_published_splitmix64() -> None:
    assert [int(value * 2**53) for value in splitmix64(0, 2)] == [0xE220A8397B1DCDAF >> 11, 0x6E789E6AA1B965F4 >> 11]


@pytest.mark.parametrize("parts", [(0,), (1, "anchors"), (2**62, 7, "regions"), ("", -5)])
@pytest.mark.parametrize("count", [0, 1, 1000])
def test_uniform_equals_splitmix64_to_the_bit(parts: tuple[int | str, ...], count: int) -> None:
    drawn = randomness.uniform(count, CPU, *parts)
    assert drawn.dtype == torch.float64
    assert drawn.tolist() == splitmix64(randomness.hash_key(*parts), count)


def test_uniform_does_not_depend_on_the_count_or_on_torch_seed() -> None:
    torch.manual_seed(1)
    few = randomness.uniform(5, CPU, 3)
    torch.manual_seed(2)
    assert torch.equal(few, randomness.uniform(500, CPU, 3)[:5])


def test_uniform_fills_the_unit_interval_evenly() -> None:
    drawn = randomness.uniform(20000, CPU, "spread")
    assert float(drawn.min()) >= 0.0
    assert float(drawn.max()) < 1.0
    counts = torch.histc(drawn, 10, 0, 1)
    assert float((counts - 2000).abs().max()) < 200  # 4.7 standard deviations


def test_hash_key_differs_by_each_part_and_by_order() -> None:
    parts: list[tuple[int | str, ...]] = [(), (0,), (1,), (-1,), ("a",), ("b",), ("ab",), ("a", "b"), ("b", "a")]
    parts += [*itertools.product(range(30), repeat=2), (1, 1, "anchors"), (1, 1, "regions"), (11, "anchors")]
    keys = [randomness.hash_key(*part) for part in parts]
    assert len(set(keys)) == len(parts)
    assert all(0 <= key < 2**63 for key in keys)


def test_hash_key_equals_a_fixed_value() -> None:
    assert randomness.hash_key(7, "anchors") == 6966199582021339477


def test_numpy_generator_is_seeded_with_its_key() -> None:
    drawn = randomness.numpy_generator(1, "crop").random(4)
    expected = np.random.Generator(np.random.PCG64(randomness.hash_key(1, "crop"))).random(4)
    np.testing.assert_array_equal(drawn, expected)
    assert not np.array_equal(drawn, randomness.numpy_generator(2, "crop").random(4))
