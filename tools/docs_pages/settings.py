"""Pages of every setting, from the classes of ``detect.config``: key, what it accepts, default, sentence."""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

from detect.config import Config
from detect.config.base import ConfigModel
from detect.config.describe import DescribeConfig
from detect.config.files import dotted_keys
from detect.config.model import CLASSIFIER_DEFAULTS, KIND_DEFAULTS, OUTPUT_DEFAULTS

HOW_TO_SET = """\
`--set train.lr=1e-3` sets one key on the command line; values are YAML, so a list is
`--set model.rpn.aspect_ratios=[0.5,1,2]`.
A configuration file has the same keys, nested:

```yaml
base: faster_rcnn.yaml  # inherits all settings of that file
train:
  lr: 1e-3
```

`detect config show NAME` prints every setting of a configuration. An unknown key is refused, and the line names the
nearest known one. The settings of `detect describe train` have [a page of their own](settings-describe.md).
"""


@dataclass(frozen=True)
class Setting:
    """A setting. key: as users write it; accepts: its type and limits in words; default: as YAML; sentence: its doc."""

    key: str
    accepts: str
    default: str
    sentence: str


@dataclass(frozen=True)
class Section:
    """Settings that share a prefix. key: that prefix, empty for the top; sentence: what they are for."""

    key: str
    sentence: str
    settings: tuple[Setting, ...]


def read_sections(config: type[ConfigModel] = Config, prefix: str = "") -> Iterator[Section]:
    """Yield the section of a class of settings, then those inside it, in the order of the code."""
    sentences, schema = field_sentences(config), config.model_json_schema()
    properties, definitions = schema["properties"], schema.get("$defs", {})
    inner: list[tuple[type[ConfigModel], str]] = []
    settings = []
    for name, field in config.model_fields.items():
        key = f"{prefix}{name}"
        nested = _nested_class(field.annotation)
        if isinstance(field.default, ConfigModel):
            inner.append((type(field.default), f"{key}."))
            continue
        if nested is not None:
            inner.append((nested, f"{key}[]."))
        default = "must be set" if field.is_required() else _as_yaml(field.default)
        settings.append(Setting(key, describe(properties[name], definitions), default, sentences.get(name, "")))
    doc = " ".join((inspect.getdoc(config) or "").split())
    yield Section(prefix.removesuffix("."), doc, tuple(settings))
    for section, inner_prefix in inner:
        yield from read_sections(section, inner_prefix)


def field_sentences(config: type[ConfigModel]) -> dict[str, str]:
    """Return the sentence under each field of a class, by the name of the field."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(config))).body
    assert isinstance(definition, ast.ClassDef)
    sentences = {}
    for field, after in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            assert isinstance(field.target, ast.Name)
            sentences[field.target.id] = " ".join(str(after.value.value).split())
    return sentences


def describe(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Return a JSON schema in words, such as "a whole number above 0, or null"."""
    if "$ref" in schema:
        return "keys " + ", ".join(f"`{key}`" for key in definitions[schema["$ref"].split("/")[-1]]["properties"])
    if "anyOf" in schema:
        return ", or ".join(describe(member, definitions) for member in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return " or ".join(f"`{choice}`" for choice in schema.get("enum", [schema.get("const")]))
    if schema["type"] == "array":
        if "prefixItems" in schema:
            return f"{len(schema['prefixItems'])} in a list, each {describe(schema['prefixItems'][0], definitions)}"
        return f"a list, each {describe(schema['items'], definitions)}"
    names = {"integer": "a whole number", "number": "a number", "string": "text", "boolean": "`true` or `false`"}
    return {"null": "`null`"}.get(schema["type"]) or names[schema["type"]] + _limits(schema)


def settings_pages() -> dict[str, str]:
    """Return the pages by file name: an index with the top-level settings, one for each of model, data and train, and
    one with those of ``detect describe train``.
    """
    sections = list(read_sections())
    parts = [section.key for section in sections if section.key and "." not in section.key]
    groups = {part: [s for s in sections if s.key.split(".")[0].removesuffix("[]") == part] for part in parts}
    rows = [
        f"| [`{setting.key}`](settings-{part}.md#{_anchor(setting.key)}) | {_code(setting.default)} |"
        for part, group in groups.items()
        for section in group
        for setting in section.settings
    ]
    table = "\n".join(["| key | default |", "|---|---|", *rows])
    top = map(_setting_text, sections[0].settings)
    pages = {
        "settings.md": "\n\n".join(["# Settings", HOW_TO_SET.strip(), *top, _kind_defaults(), "## All keys", table, ""])
    }
    for part, group in groups.items():
        texts = [f"# Settings: {part}"]
        for section in group:
            texts += [
                f"## {section.key} {{ #{_anchor(section.key)} }}",
                section.sentence,
                *map(_setting_text, section.settings),
            ]
        pages[f"settings-{part}.md"] = "\n\n".join(texts) + "\n"
    pages["settings-describe.md"] = _describe_page()
    return pages


def _describe_page() -> str:
    """Return the page with all settings of ``detect describe train``."""
    top, *sections = read_sections(DescribeConfig)
    texts = ["# Settings: describe", top.sentence, *map(_setting_text, top.settings)]
    for section in sections:
        texts += [f"## {section.key} {{ #{section.key} }}", section.sentence, *map(_setting_text, section.settings)]
    return "\n\n".join(texts) + "\n"


def _setting_text(setting: Setting) -> str:
    """Return a heading with an anchor, a line on what is accepted, and the sentence."""
    facts = f"{setting.accepts}; default: {_code(setting.default)}"
    return f"### `{setting.key}` {{ #{_anchor(setting.key)} }}\n\n{facts}\n\n{setting.sentence}"


def _anchor(key: str) -> str:
    """Return the part of an address after # that leads to a key."""
    return key.replace("[]", "")


def _kind_defaults() -> str:
    """Return the defaults that depend on another setting."""
    tables = {
        "model.kind": KIND_DEFAULTS,
        "model.classifier": CLASSIFIER_DEFAULTS,
        "model.backbone.output": OUTPUT_DEFAULTS,
    }
    lines = ["## Defaults that depend on another setting\n", "| with | default |", "|---|---|"]
    for key, table in tables.items():
        for choice, defaults in table.items():
            pairs = ", ".join(f"`model.{name}={_as_yaml(default)}`" for name, default in dotted_keys(defaults))
            lines.append(f"| `{key}={choice}` | {pairs} |")
    return "\n".join(lines)


def _nested_class(annotation: Any) -> type[ConfigModel] | None:
    """Return the class of settings of which a list is accepted, as in ``data.train``; None where there is none."""
    if isinstance(annotation, type) and issubclass(annotation, ConfigModel):
        return annotation
    return next((nested for nested in map(_nested_class, get_args(annotation)) if nested is not None), None)


def _limits(schema: dict[str, Any]) -> str:
    """Return the limits of a number in words."""
    if "minimum" in schema and "maximum" in schema:
        return f" from {schema['minimum']:g} to {schema['maximum']:g}"
    words = {"exclusiveMinimum": "above", "minimum": "at least", "maximum": "at most", "exclusiveMaximum": "below"}
    return " and".join(f" {word} {schema[key]:g}" for key, word in words.items() if key in schema)


def _as_yaml(default: Any) -> str:
    """Return a default as one writes it after ``--set KEY=``."""
    if isinstance(default, str):
        return default
    if isinstance(default, float):
        return f"{default:.6g}"
    if isinstance(default, tuple):
        return f"[{', '.join(map(_as_yaml, default))}]"
    return json.dumps(default)


def _code(text: str) -> str:
    """Return the text as code, unless it is a remark."""
    return text if text == "must be set" else f"`{text}`"
