"""Parses XML files in any encoding that they declare, without ever expanding an entity."""

from __future__ import annotations

import codecs
import contextlib
import re
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError
from xml.etree.ElementTree import fromstring as parse_plain

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from detect.errors import UserError
from detect.system.files import require_file

_ENCODING = re.compile(rb"""^\s*<\?xml[^>]*\sencoding\s*=\s*["']([A-Za-z0-9._-]+)["']""")


def read_xml(file: Path, content_name: str, expected: str) -> Element:
    """Return the first element of an XML file, without namespaces.

    content_name: what the file is, in words, for a file that is missing; expected: for one that is damaged. Raises
    UserError for both.
    """
    content = require_file(file, content_name).read_bytes()
    try:
        tree = _parse_tree(content)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise UserError(f"{file}: expected {expected}, found {_damage(content, error)}") from error
    if b"xmlns" in content:
        _strip_namespaces(tree)
    return tree


def read_head(file: Path, length: int) -> bytes:
    """Return the first bytes of an XML file, as if it were not in UTF-16."""
    with file.open("rb") as stream:
        return stream.read(length).replace(b"\0", b"")


def _damage(content: bytes, error: Exception) -> str:
    """Return what is wrong with XML that cannot be parsed: text of an encoding that is not declared, or the error."""
    if _ENCODING.match(content) is None and not content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            content.decode("utf-8")
        except UnicodeDecodeError as wrong:
            actual = f"byte {wrong.object[wrong.start]:#x}, which is not UTF-8, and no encoding in its first line"
            return f'{actual}: begin it with <?xml version="1.0" encoding="gbk"?>, or whichever it is'
    return f"damaged XML: {error}"


def _parse_tree(content: bytes) -> Element:
    """Parse XML in the encoding that it declares. Raises what the parser raises.

    The parser knows UTF-8, UTF-16 and encodings of one byte a letter; others, such as GBK or Shift JIS, are decoded
    before.
    """
    if _has_no_entities(content):
        with contextlib.suppress(ParseError):
            return parse_plain(content)
    try:
        tree: Element = fromstring(content)
    except (ValueError, ParseError):
        declared = _ENCODING.match(content)
        encoding = declared[1].decode().lower() if declared else "utf-8"
        if encoding.startswith("utf"):
            raise
        tree = fromstring(content.decode(encoding))
    return tree


def _has_no_entities(content: bytes) -> bool:
    """Return True for UTF-8 without a declaration ``<!``, such as that of an entity.

    There the plain parser does no harm. It is written in C and takes half the time of defusedxml's.
    """
    return not any(part in content for part in (b"<!", b"encoding", b"\0"))  # the last two: it may not be UTF-8


def _strip_namespaces(tree: Element) -> None:
    """Remove the namespace from all tags: VOC has none, so an exporter's default namespace says nothing."""
    for element in tree.iter():
        if isinstance(element.tag, str):
            element.tag = element.tag.rpartition("}")[2]
