"""The image in a request: the body itself, a file of a form, or base64 in JSON."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

from detect.serve.known_keys import require_known
from detect.serve.limits import RequestError

_READ_TO_REFUSE = 10  # times the limit
_BOUNDARY = re.compile(r'boundary="?([^";,]{1,70})"?', re.IGNORECASE)
_PART_NAME = re.compile(rb'[;\s]name="?([^";\r\n]*)', re.IGNORECASE)
_HAS_FILE_NAME = re.compile(rb"[;\s]filename\*?\s*=", re.IGNORECASE)
_FILE_NAME = re.compile(rb'filename="([^"\r\n]*)"', re.IGNORECASE)
_EXPECTED = 'expected an image as the body, as a file of a form, or {"image": base64} in JSON'


@dataclass(frozen=True)
class RequestImage:
    """The bytes of an image file, and the name that the client gives it, "" where it gives none."""

    content: bytes
    name: str = ""


async def read_body(chunks: AsyncIterator[bytes], declared: str | None, max_bytes: int) -> bytes:
    """Return the body of a request. Raises RequestError 413 for one that is longer than ``max_bytes``.

    declared: the header content-length, by which a body that is too long is refused before it is sent. Without it the
    rest is read and not kept, up to ``_READ_TO_REFUSE`` times the limit: a client loses the answer where the connection
    is closed while it still sends.
    """
    too_long = RequestError(413, f"expected a request of at most {max_bytes / 1e6:g} MB, found more")
    if declared is not None and declared.isascii() and declared.isdecimal() and int(declared) > max_bytes:
        raise too_long
    body, num_bytes = bytearray(), 0
    async for chunk in chunks:
        num_bytes += len(chunk)
        if num_bytes <= max_bytes:
            body += chunk
        elif num_bytes > _READ_TO_REFUSE * max_bytes:
            break
    if num_bytes > max_bytes:
        raise too_long
    return bytes(body)


def parse_image(body: bytes, content_type: str, query_key: str) -> RequestImage:
    """Return the image in a body. Raises RequestError 400 for a body without one, or with other keys beside it.

    content_type: the header; multipart/form-data and application/json are read, anything else is the image itself;
    query_key: what the query may have.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return _parse_form(body, content_type, query_key)
    if kind == "application/json":
        return _parse_json(body, query_key)
    if not body:
        raise RequestError(400, f"{_EXPECTED}, found nothing")
    return RequestImage(body)


def _parse_form(body: bytes, content_type: str, query_key: str) -> RequestImage:
    """Return the file of a form (RFC 7578, RFC 2046 section 5.1)."""
    match = _BOUNDARY.search(content_type)
    if match is None:
        raise RequestError(400, f"{_EXPECTED}, found a form without a boundary")
    parts = (b"\r\n" + body).split(b"\r\n--" + match[1].encode("latin-1", "replace"))
    if len(parts) < 2 or not parts[-1].startswith(b"--"):
        raise RequestError(400, f"{_EXPECTED}, found a form that is cut off")
    images = []
    for part in parts[1:-1]:
        header, separator, content = part.partition(b"\r\n\r\n")
        if not _HAS_FILE_NAME.search(header):
            key = _PART_NAME.search(header)
            require_known("form", ["" if key is None else key[1].decode("utf-8", "replace")], (), [query_key])
        name = _FILE_NAME.search(header)
        if separator and name is not None and content:
            images.append(RequestImage(content, name[1].decode("utf-8", "replace")))
    if len(images) != 1:
        files = f"with {len(images)} files: send each by itself" if images else "without a file"
        raise RequestError(400, f"{_EXPECTED}, found a form {files}")
    return images[0]


def _parse_json(body: bytes, query_key: str) -> RequestImage:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise RequestError(400, f"{_EXPECTED}, found damaged JSON") from None
    keys = document if isinstance(document, dict) else {}
    require_known("JSON", keys, ("image", "name"), [query_key])
    text = keys.get("image")
    if not isinstance(text, str) or not text:
        raise RequestError(400, f'{_EXPECTED}, found JSON without the text "image"')
    name = keys.get("name", "")
    try:
        content = base64.b64decode(text.rpartition("base64,")[2], validate=True)  # a data URI of a page, too
    except (binascii.Error, ValueError):
        raise RequestError(400, f"{_EXPECTED}, found text that is no base64") from None
    return RequestImage(content, name if isinstance(name, str) else "")
