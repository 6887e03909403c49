"""YAML as people write settings in it: nothing is run, no key is lost, and no few lines stand for a million values."""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from detect.errors import UserError
from detect.system.files import read_text

LARGEST = 100_000  # values, each alias counted as all that it stands for: nine lines of aliases can mean 10 ** 9


class _Loader(yaml.SafeLoader):
    """YAML 1.1 as PyYAML has it, except that 1e-3 is a number, and that of a key given twice neither is lost."""

    def get_single_node(self) -> yaml.Node | None:
        """As PyYAML does; YAMLError where aliases stand for more than LARGEST values."""
        node = super().get_single_node()
        if node is not None:
            _weigh(node, {})
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """As PyYAML does; YAMLError where a key is there twice."""
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and (key.tag, key.value) in seen:
                raise yaml.constructor.ConstructorError(None, None, f'the key "{key.value}" twice', key.start_mark)
            seen.add((key.tag, key.value) if isinstance(key, yaml.ScalarNode) else id(key))
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


class Dumper(yaml.SafeDumper):
    """Puts quotes round a text that would be read back as a number."""


Dumper.yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers


def read_yaml(file: Path, what: str) -> Any:
    """The value in a YAML file. Raises UserError that starts with the file."""
    text = read_text(file, what)
    try:
        return parse_yaml(text)
    except ValueError as error:
        raise UserError(f"{file}: expected YAML, found {error}") from None


def parse_yaml(text: str) -> Any:
    """The value of a text. Raises ValueError, of one line."""
    try:
        return yaml.load(text, Loader=_Loader)
    except RecursionError:
        raise ValueError("values nested too deep") from None
    except (yaml.YAMLError, ValueError, LookupError, AttributeError) as error:  # "!!int x", "2007-13-45", "!!bool x"
        raise ValueError(" ".join(str(error).split())) from None


def _weigh(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node stands for."""
    if id(node) in known:
        return known[id(node)]
    known[id(node)] = LARGEST  # until it is known: an alias of what it is in has no end
    parts = node.value if isinstance(node, yaml.CollectionNode) else []
    flat = [part for pair in parts for part in pair] if isinstance(node, yaml.MappingNode) else parts
    known[id(node)] = 1 + sum(_weigh(part, known) for part in flat)
    if known[id(node)] > LARGEST:
        raise yaml.YAMLError(f"aliases that stand for more than {LARGEST} values")
    return known[id(node)]
