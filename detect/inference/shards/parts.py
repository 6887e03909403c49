"""A part: the rows of one shard as a Parquet file. One row a photo, whatever happened to it.

Columns: url; width, height in pixels, of the upright photo; status, ``ok`` or ``error``; error, one line; boxes, a list
of [x1, y1, x2, y2] in pixels; scores; labels, 1 to K; masks, COCO's run lengths, null where the model has none;
model_key. The metadata of the file has the names of the classes (``detect.classes``, JSON), the shard, the identity of
the manifest, and a checksum of the file.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from detect.data.formats.mask_json import mask_record
from detect.evaluation.predictions import Prediction
from detect.inference.shards.model import ReadError
from detect.inference.shards.part_checksum import CHECKSUM, PLACEHOLDER, insert_checksum, verify_checksum
from detect.system.packages import import_package

_NAME = re.compile(r"part-(\d{8,})-([0-9a-f]{16})\.parquet")
CLASSES, SHARD, MANIFEST = b"detect.classes", b"detect.shard", b"detect.manifest"
_OK, _ERROR = "ok", "error"
STATUSES = (_OK, _ERROR)


@dataclass(frozen=True)
class PartKey:
    """What the rows of a part are of: the key of the model, its classes, and the identity of the manifest."""

    model: str
    classes: tuple[str, ...]
    manifest: str

    @property
    def digest(self) -> str:
        """Return the key in the names of parts; it changes with the model and with the photos of the shards."""
        return run_digest(self.model, self.manifest)


def run_digest(model_key: str, manifest: str) -> str:
    """Return the 16 hexadecimal digits in the name of a part, of the key of its model and of its manifest."""
    return hashlib.blake2b(f"{model_key} {manifest}".encode(), digest_size=8).hexdigest()


def part_name(number: int, digest: str) -> str:
    """Return the name of the part of a shard: ``part-00000012-0123456789abcdef.parquet``."""
    return f"part-{number:08d}-{digest}.parquet"


def parse_part_name(name: str) -> tuple[int, str] | None:
    """Return the number of the shard and the digest in the name of a part, None for the name of another file."""
    match = _NAME.fullmatch(name)
    return None if match is None else (int(match[1]), match[2])


def schema() -> Any:
    """Return the Arrow schema of a part."""
    arrow = import_package("pyarrow", "--from")
    mask = arrow.struct([("size", arrow.list_(arrow.int32())), ("counts", arrow.string())])
    return arrow.schema(
        [
            arrow.field("url", arrow.string(), nullable=False),
            arrow.field("width", arrow.int32()),
            arrow.field("height", arrow.int32()),
            arrow.field("status", arrow.string(), nullable=False),
            arrow.field("error", arrow.string()),
            arrow.field("boxes", arrow.list_(arrow.list_(arrow.float32()))),
            arrow.field("scores", arrow.list_(arrow.float32())),
            arrow.field("labels", arrow.list_(arrow.int32())),
            arrow.field("masks", arrow.list_(mask)),
            arrow.field("model_key", arrow.string(), nullable=False),
        ]
    )


def encode_part(number: int, rows: Sequence[Prediction | ReadError], key: PartKey) -> bytes:
    """Return the bytes of the part of a shard, with a checksum for each page and one of the whole file."""
    arrow = import_package("pyarrow", "--from")
    parquet = import_package("pyarrow.parquet", "--from", "pyarrow")
    metadata = {
        CLASSES: json.dumps(key.classes, ensure_ascii=False).encode(),
        SHARD: str(number).encode(),
        MANIFEST: key.manifest.encode(),
    }
    records = [_error_row(row) if isinstance(row, ReadError) else _row(row) for row in rows]
    for record in records:
        record["model_key"] = key.model
    table = arrow.Table.from_pylist(records, schema=schema().with_metadata(metadata))
    sink = arrow.BufferOutputStream()
    with parquet.ParquetWriter(sink, table.schema, compression="zstd", write_page_checksum=True) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({CHECKSUM: PLACEHOLDER})
    return insert_checksum(sink.getvalue().to_pybytes())


def decode_part(content: bytes) -> Any:
    """Return the Arrow table of a part. Raises ValueError or OSError if a byte of it changed, or if it is no part."""
    parquet = import_package("pyarrow.parquet", "part-*.parquet", "pyarrow")
    verify_checksum(content)
    return parquet.ParquetFile(io.BytesIO(content), page_checksum_verification=True).read()


def _row(prediction: Prediction) -> dict[str, Any]:
    return {
        "url": prediction.file,
        "width": prediction.width,
        "height": prediction.height,
        "status": _OK,
        "error": None,
        "boxes": prediction.boxes.tolist(),
        "scores": prediction.scores.tolist(),
        "labels": prediction.labels.tolist(),
        "masks": None if prediction.masks is None else [mask_record(mask) for mask in prediction.masks],
    }


def _error_row(failure: ReadError) -> dict[str, Any]:
    """Return a row without detections: null, and not an empty list, as nothing looked at the photo."""
    columns = ("width", "height", "boxes", "scores", "labels", "masks")
    return {"url": failure.url, "status": _ERROR, "error": failure.reason, **dict.fromkeys(columns)}
