"""YAML settings read safely: no code is run, duplicate keys are errors, aliases cannot expand without limit."""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from detect.errors import UserError
from detect.system.files import read_text

MAX_VALUES = 100_000  # with each alias expanded: nine lines of aliases can stand for 10 ** 9 values


class _Loader(yaml.SafeLoader):
    """PyYAML's YAML 1.1, except that 1e-3 is a number and that a duplicate key is an error."""

    def get_single_node(self) -> yaml.Node | None:
        """Return PyYAML's node; YAMLError if aliases expand to more than MAX_VALUES values."""
        node = super().get_single_node()
        if node is not None:
            _count_values(node, {})
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Return PyYAML's mapping; YAMLError if a key occurs twice."""
        keys = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and (key.tag, key.value) in keys:
                raise yaml.constructor.ConstructorError(None, None, f'the key "{key.value}" twice', key.start_mark)
            keys.add((key.tag, key.value) if isinstance(key, yaml.ScalarNode) else id(key))
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


class Dumper(yaml.SafeDumper):
    """A dumper that quotes text that would be read back as a number."""


Dumper.yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers


def read_yaml(file: Path, expected: str) -> Any:
    """Return the value of a YAML file. Raises UserError, which starts with the file."""
    text = read_text(file, expected)
    try:
        return parse_yaml(text)
    except ValueError as error:
        raise UserError(f"{file}: expected YAML, found {error}") from None


def parse_yaml(text: str) -> Any:
    """Return the value of a YAML text. Raises ValueError with a message of one line."""
    try:
        return yaml.load(text, Loader=_Loader)
    except RecursionError:
        raise ValueError("values nested too deep") from None
    except (yaml.YAMLError, ValueError, LookupError, AttributeError) as error:  # "!!int x", "2007-13-45", "!!bool x"
        raise ValueError(" ".join(str(error).split())) from None


def respelled_numbers(text: str, key: str) -> list[tuple[str, int | float]]:
    """Return (spelling, number) of the numbers in the list or mapping of a key that Python spells otherwise.

    In YAML 1.1, 010 is 8 and 12:30 is 750. text: a mapping that ``parse_yaml`` reads.
    """
    loader = _Loader(text)
    try:
        values = [value for name, value in _pairs(loader, loader.get_single_node()) if name.value == key]
        nodes = [node for value in values for node in _members(loader, value) if isinstance(node, yaml.ScalarNode)]
        numbers = [(node.value, loader.construct_object(node)) for node in nodes]
    finally:
        loader.dispose()
    return [
        (spelling, number) for spelling, number in numbers if type(number) in (int, float) and str(number) != spelling
    ]


def _members(loader: _Loader, node: yaml.Node) -> list[yaml.Node]:
    """Return the nodes in a list, and the values of a mapping; none of a single value."""
    return [value for _, value in _pairs(loader, node)] or (node.value if isinstance(node, yaml.SequenceNode) else [])


def _pairs(loader: _Loader, node: yaml.Node | None) -> list[tuple[yaml.Node, yaml.Node]]:
    """Return the keys and values of a mapping, with those that << merges into it; none of another node."""
    if not isinstance(node, yaml.MappingNode):
        return []
    loader.flatten_mapping(node)
    return list(node.value)


def _count_values(node: yaml.Node, counts: dict[int, int]) -> int:
    """Return the number of values in a node, with each alias counted as all values that it stands for."""
    if id(node) in counts:
        return counts[id(node)]
    counts[id(node)] = MAX_VALUES  # until counted: an alias of a node that contains it never ends
    parts = node.value if isinstance(node, yaml.CollectionNode) else []
    flat = [part for pair in parts for part in pair] if isinstance(node, yaml.MappingNode) else parts
    counts[id(node)] = 1 + sum(_count_values(part, counts) for part in flat)
    if counts[id(node)] > MAX_VALUES:
        raise yaml.YAMLError(f"aliases that stand for more than {MAX_VALUES} values")
    return counts[id(node)]
