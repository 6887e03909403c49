from __future__ import annotations

from pathlib import Path

import pytest

from detect.system.cpu import has_int8_instructions


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),  # unknown
        ("processor : 0\nflags : fpu avx2 fma\n", False),
        ("flags : avx2 avx512_vnni\n", True),
        ("flags : avx2 avx_vnni\n", True),
        ("flags : amx_int8\n", True),
        ("model name : has avx_vnni in its name\nflags : avx2\n", False),
        ("Features : fp asimd asimddp\n", True),
        ("Features : fp asimd\n", False),
    ],
)
def test_int8_instructions_of_a_processor(text: str, expected: bool, tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(text)
    assert has_int8_instructions(file) == expected
