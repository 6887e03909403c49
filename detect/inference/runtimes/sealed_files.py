"""Files of graphs with a checksum at their end, which the libraries that read them pass over.

A graph of ONNX is a message of protobuf, which may be followed by further fields: the checksum is one more entry of its
metadata. A graph of OpenVINO is an XML text with the weights beside it in a .bin: the checksum, of both, is a comment
at the end of the text. So a file that another program wrote, or that is cut short, is recognized before any library
reads it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from detect.errors import UserError
from detect.system.files import require_file, write_bytes

ONNX, OPENVINO = ".onnx", ".xml"
SUFFIXES = (ONNX, OPENVINO)
DESCRIPTION_KEY = "detect"  # of the metadata
_CHECKSUM_KEY = b"detect sha256"
_HEX_LENGTH = 64


@dataclass(frozen=True)
class _Trailer:
    """The bytes before and after the checksum at the end of a file."""

    before: bytes
    after: bytes

    @property
    def length(self) -> int:
        return len(self.before) + _HEX_LENGTH + len(self.after)


def _metadata_field(key: bytes) -> bytes:
    """Return protobuf's bytes of an entry of ``ModelProto.metadata_props`` (field 14), up to a value of 64 bytes."""
    entry = b"\x0a" + bytes([len(key)]) + key + b"\x12" + bytes([_HEX_LENGTH])
    return b"\x72" + bytes([len(entry) + _HEX_LENGTH]) + entry


_TRAILERS = {ONNX: _Trailer(_metadata_field(_CHECKSUM_KEY), b""), OPENVINO: _Trailer(b"<!-- detect sha256 ", b" -->\n")}
_NAMES = {ONNX: "an ONNX graph", OPENVINO: "a graph of OpenVINO"}


def weights_file(graph_file: Path) -> Path:
    """Return the file beside a graph of OpenVINO that holds its weights."""
    return graph_file.with_suffix(".bin")


def write_sealed(file: Path, graph: bytes, weights: bytes = b"") -> int:
    """Write a graph with its checksum, and its weights beside it where it has a file of weights; return the bytes.

    The weights come first, so that a graph that is complete has its weights. Raises RunError.
    """
    trailer = _TRAILERS[file.suffix]
    if file.suffix == OPENVINO:
        write_bytes(weights_file(file), weights)
    write_bytes(file, graph + trailer.before + _checksum(graph, weights) + trailer.after)
    return len(graph) + len(weights) + trailer.length


def read_sealed(file: Path) -> tuple[bytes, bytes]:
    """Return the bytes of a graph and those of the weights beside it, b"" where it has none beside it.

    Raises UserError, which names the file, if it is not one of ``write_sealed`` or is damaged in any bit.
    """
    trailer, name = _TRAILERS[file.suffix], _NAMES[file.suffix]
    content = require_file(file, name).read_bytes()
    weights = b""
    if file.suffix == OPENVINO:
        weights = require_file(weights_file(file), f"the weights of {file.name}").read_bytes()
    graph, end = content[: -trailer.length], content[-trailer.length :]
    if not (len(end) == trailer.length and end.startswith(trailer.before) and end.endswith(trailer.after)):
        raise UserError(
            f"{file}: expected {name} that `detect model export` wrote, found another file, or the beginning of one"
        )
    if end != trailer.before + _checksum(graph, weights) + trailer.after:
        raise UserError(f"{file}: damaged: its content does not match its checksum")
    return content, weights


def _checksum(graph: bytes, weights: bytes) -> bytes:
    """Return the SHA-256 of a graph and its weights, in hexadecimal."""
    digest = hashlib.sha256(graph)
    digest.update(weights)
    return digest.hexdigest().encode()
