"""Files of graphs are recognized by their end before any library reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from detect.errors import UserError
from detect.inference.load import load
from detect.inference.runtimes.sealed_files import read_sealed, weights_file, write_sealed

GRAPHS = {".onnx": (b"\x08\x0agraph", b""), ".xml": (b"<net></net>\n", b"weights")}
KINDS = list(GRAPHS)


def sealed(folder: Path, suffix: str) -> Path:
    file = folder / f"graph{suffix}"
    assert write_sealed(file, *GRAPHS[suffix]) == sum(part.stat().st_size for part in folder.iterdir())
    return file


@pytest.mark.parametrize("suffix", KINDS)
def test_a_graph_is_read_with_its_end(suffix: str, tmp_path: Path) -> None:
    graph, weights = GRAPHS[suffix]
    content, read_weights = read_sealed(sealed(tmp_path, suffix))
    assert content.startswith(graph)
    assert b"detect sha256" in content[len(graph) :]
    assert read_weights == weights


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"\x08\x0a", b"<net></net>\n" * 30, b"a" * 4000])
@pytest.mark.parametrize("suffix", KINDS)
def test_foreign_files_are_one_line(suffix: str, content: bytes, tmp_path: Path) -> None:
    file = tmp_path / f"foreign{suffix}"
    file.write_bytes(content)
    weights_file(file).write_bytes(b"")
    with pytest.raises(UserError, match=r"expected .* that `detect model export` wrote, found another file") as error:
        load(file)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("suffix", KINDS)
def test_every_cut_and_every_flipped_bit_is_noticed(suffix: str, tmp_path: Path) -> None:
    file = sealed(tmp_path, suffix)
    content = file.read_bytes()
    for length in range(len(content)):
        file.write_bytes(content[:length])
        with pytest.raises(UserError, match="found another file, or the beginning of one"):
            read_sealed(file)
    for position in range(len(content)):
        file.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        with pytest.raises(UserError, match=r"graph.*: (expected|damaged)"):
            read_sealed(file)


def test_the_weights_beside_a_graph_are_covered(tmp_path: Path) -> None:
    file = sealed(tmp_path, ".xml")
    weights_file(file).write_bytes(b"Weights")
    with pytest.raises(UserError, match="damaged: its content does not match its checksum"):
        read_sealed(file)
    weights_file(file).unlink()
    with pytest.raises(UserError, match=r"graph.bin: expected the weights of graph.xml, found nothing"):
        read_sealed(file)


@pytest.mark.parametrize("suffix", KINDS)
def test_a_missing_file(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"expected .* graph.*, found nothing"):
        load(tmp_path / f"missing{suffix}")
