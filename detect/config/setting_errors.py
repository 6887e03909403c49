"""Describe a wrong setting in one line: its key, what was expected, what was found, and a similar key."""

from __future__ import annotations

import difflib
import re
import reprlib
import types
from collections.abc import Sequence
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from detect.config import Config
from detect.errors import did_you_mean

_MIN_LIKENESS = 0.8  # of a key one level below: more than of one beside it, which is likelier meant


def format_error(error: ValidationError, root: type[BaseModel] = Config) -> str:
    """Return one line: the key, the expected value, the value found, and a similar name if there is one.

    root: the class of the settings that the error is about.
    """
    # A union reports an error for each member; the deepest one belongs to the member that was meant. Of errors at the
    # same depth an unknown key comes first: it may be the misspelled form of a key that is reported as missing.
    located = [
        (details, _key_path(root, details["loc"], details["type"] == "extra_forbidden")) for details in error.errors()
    ]
    first, path = max(located, key=lambda pair: (len(pair[1]), pair[0]["type"] == "extra_forbidden"))
    key = ".".join(path)
    if first["type"] == "extra_forbidden":
        section = section_at(root, path[:-1])
        fields = [] if section is None else list(section.model_fields)
        hint = did_you_mean(path[-1], fields) or _nearest_below(section, path)
        return f"{key}: unknown key{hint or '; known: ' + ', '.join(fields)}"
    message = first["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
    if first["type"] in ("model_type", "dict_type"):
        message = "expected keys and values"
    wrong_input = first["input"]
    if isinstance(wrong_input, dict):
        return f"{key}: {message}" if key else message
    expected = first.get("ctx", {}).get("expected", "")
    hint = did_you_mean(str(wrong_input), re.findall(r"'([^']+)'", str(expected)))
    return f"{key}: {message}, found {reprlib.repr(wrong_input)}{hint}"


def _nearest_below(section: type[BaseModel] | None, path: Sequence[str]) -> str:
    """Return a hint at the key that is like an unknown one of ``section`` and one level below it, "" if it is not one.

    path: of the unknown key, in full.
    """
    inner = (
        {} if section is None else {name: section_in(field.annotation) for name, field in section.model_fields.items()}
    )
    below: dict[str, list[str]] = {}
    for name, fields in inner.items():
        for key in fields.model_fields if fields else ():
            below.setdefault(key, []).append(".".join((*path[:-1], name, key)))
    nearest = difflib.get_close_matches(path[-1], below, n=1, cutoff=_MIN_LIKENESS)
    full_keys = below[nearest[0]] if nearest else []
    return f' (did you mean "{full_keys[0]}"?)' if len(full_keys) == 1 else ""


def _key_path(root: type[BaseModel], location: Sequence[int | str], last_is_a_key: bool) -> list[str]:
    """Return the location of an error as users write it: without pydantic's names for the members of a union."""
    keys: list[str] = []
    for index, part in enumerate(location):
        section = section_at(root, keys)
        is_field = section is not None and part in section.model_fields
        if isinstance(part, int) or is_field or (last_is_a_key and index == len(location) - 1):
            keys.append(str(part))
    return keys


def section_at(root: type[BaseModel], path: Sequence[str]) -> type[BaseModel] | None:
    """Return the section of the settings ``root`` that a path of keys leads to."""
    section = root
    for part in path:
        field = section.model_fields.get(part)
        inner = None if field is None else section_in(field.annotation)
        if inner is None:
            return section if part.isdigit() else None
        section = inner
    return section


def section_in(annotation: Any) -> type[BaseModel] | None:
    """Return the section inside an annotation such as ``tuple[SourceConfig, ...] | str``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Union, types.UnionType, tuple):
        return next((section for section in map(section_in, get_args(annotation)) if section), None)
    return None
