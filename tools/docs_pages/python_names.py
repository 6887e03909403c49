"""Pages of the public names of packages, from their source: signatures and docstrings. Nothing is imported."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "detect"
Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef

INTRODUCTION = """\
```python
import detect

detector = detect.load("runs/first")  # a run folder, a checkpoint, or a name of `detect model zoo`
detections = detector.predict("photo.jpg", score=0.5)
for name, score, box in zip(detections.names(), detections.scores, detections.boxes):
    print(name, float(score), box.tolist())  # x1 y1 x2 y2 in pixels of the photo
```

The records are described in [detect.types](python-types.md), the predictor in
[detect.inference](python-inference.md#detect.inference.predictor.Predictor).
"""

# The packages that somebody who writes Python with detect uses, and why.
PACKAGES = {
    "types": "The records that flow through a detector, and every convention.",
    "inference": "A trained detector in use, on images and on data sets.",
    "data": "Images and their objects: readers, writers, loading, checks.",
    "evaluation": "Rules of scoring, error types, confidence intervals.",
    "models": "The detector, its five slots and the parts that fill them.",
    "ops": "Plain functions on tensors: boxes, suppression, pooling, anchors, losses.",
    "proposals": "Selective search, and files of proposals.",
    "explain": "Why a box: traces, attribution, what the network learned.",
    "checkpoints": "A trained detector as a file; other libraries' files.",
    "config": "Settings as records, and the builders that make a detector of them.",
    "training": "The loop, the recipes, the run folder.",
    "errors": "The errors that a user can cause.",
}


@dataclass(frozen=True)
class Name:
    """A public function or class. module: where it is imported from; signature: as Python; doc: its docstring; methods:
    the public ones of a class.
    """

    module: str
    name: str
    signature: str
    doc: str
    methods: tuple[Name, ...] = ()


def public_names(package: str) -> Iterator[tuple[str, str, list[Name]]]:
    """Yield each module of a package of ``detect``: its dotted name, its docstring, its public names."""
    folder = PACKAGE / package
    files = sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]
    for file in files:
        module = ast.parse(file.read_text(encoding="utf-8"))
        dotted = ".".join(("detect", *file.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
        names = [_to_name(dotted, node) for node in module.body if _is_public(node)]
        yield dotted, ast.get_docstring(module) or "", names


def package_page(package: str, purpose: str) -> str:
    """Return the page of a package."""
    texts = [f"# detect.{package}", purpose]
    for module, doc, names in public_names(package):
        if names:
            texts += [_prose(doc)] if module == f"detect.{package}" else [f"## {module} {{ #{module} }}", _prose(doc)]
            texts += [text for name in names for text in _name_texts(name)]
    return "\n\n".join(text for text in texts if text) + "\n"


def entry_points() -> list[Name]:
    """Return the functions of ``detect`` itself, which ``detect/api.py`` collects from their modules."""
    api = ast.parse((PACKAGE / "api.py").read_text(encoding="utf-8"))
    imported = {
        alias.asname or alias.name: (node.module or "", alias.name)
        for node in api.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    exported = next(node.value for node in api.body if isinstance(node, ast.Assign))
    functions = []
    for name in ast.literal_eval(exported):
        module, own_name = imported.get(name, ("detect.api", name))
        package = module.split(".")[1]
        names = next(names for dotted, _, names in public_names(package) if dotted == module)
        functions.append(next(entry for entry in names if entry.name == own_name))
    return functions


def python_index() -> str:
    """Return the page of the functions of ``detect`` itself, with a list of the packages."""
    texts = ["# Python", INTRODUCTION.strip()]
    for function in entry_points():
        texts += [f"## `detect.{function.name}` {{ #detect.{function.name} }}"]
        texts += [f"```python\n{function.signature}\n```", _prose(function.doc)]
    texts += [
        "## Packages",
        "A package imports only from packages of lower layers: [Contributing](contributing.md#layers) has the table.",
    ]
    rows = [f"| [`detect.{package}`](python-{package}.md) | {purpose} |" for package, purpose in PACKAGES.items()]
    return "\n\n".join([*texts, "\n".join(["| package | what |", "|---|---|", *rows])]) + "\n"


def python_pages() -> dict[str, str]:
    """Return the pages by file name."""
    pages = {f"python-{package}.md": package_page(package, purpose) for package, purpose in PACKAGES.items()}
    return {"python.md": python_index(), **pages}


def _name_texts(name: Name) -> Iterator[str]:
    """Yield a heading with an anchor, the signature, the docstring, then the methods."""
    yield f"### `{name.name}` {{ #{name.module}.{name.name} }}"
    yield f"```python\n{name.signature}\n```"
    yield _prose(name.doc)
    for method in name.methods:
        yield f"**`{method.name}`**"
        yield f"```python\n{method.signature}\n```"
        yield _prose(method.doc)


def _to_name(module: str, node: ast.AST) -> Name:
    """Return a function, or a class with its public methods."""
    if isinstance(node, Function):
        return Name(module, node.name, _signature(node), ast.get_docstring(node) or "")
    assert isinstance(node, ast.ClassDef)
    methods = tuple(_to_name(module, inner) for inner in node.body if isinstance(inner, Function) and _is_public(inner))
    constructor = next((inner for inner in node.body if isinstance(inner, Function) and inner.name == "__init__"), None)
    fields = [ast.unparse(inner) for inner in node.body if isinstance(inner, ast.AnnAssign)]
    if constructor is not None:
        signature = f"class {node.name}{_arguments(constructor)}"
    else:
        signature = "\n".join([f"class {node.name}:", *(f"    {field}" for field in fields)])
    return Name(module, node.name, signature.removesuffix(":"), ast.get_docstring(node) or "", methods)


def _is_public(node: ast.AST) -> bool:
    """Return whether a node is a function or class that others may use."""
    return isinstance(node, Definition) and not node.name.startswith("_")


def _signature(function: Function) -> str:
    """Return ``name(arguments) -> returned``, with @property before it where it is one."""
    returned = "" if function.returns is None else f" -> {ast.unparse(function.returns)}"
    decorators = "".join(f"@{ast.unparse(decorator)}\n" for decorator in function.decorator_list)
    return f"{decorators}def {function.name}{_arguments(function)}{returned}"


def _arguments(function: Function) -> str:
    """Return the arguments in parentheses, without self, each on a line where they are long."""
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [*[None] * (len(positional) - len(arguments.defaults)), *arguments.defaults]
    parts = [_argument(argument, default) for argument, default in zip(positional, defaults, strict=True)]
    parts = parts[1:] if parts[:1] in (["self"], ["cls"]) else parts
    if arguments.vararg or arguments.kwonlyargs:
        parts.append("*" if arguments.vararg is None else f"*{ast.unparse(arguments.vararg)}")
    parts += [_argument(*pair) for pair in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    parts += [] if arguments.kwarg is None else [f"**{ast.unparse(arguments.kwarg)}"]
    text = ", ".join(parts)
    return f"({text})" if len(text) < 80 else "(\n    " + ",\n    ".join(parts) + ",\n)"


def _argument(argument: ast.arg, default: ast.expr | None) -> str:
    """Return an argument with its annotation and its default."""
    equals = (
        "" if default is None else f" = {ast.unparse(default)}" if argument.annotation else f"={ast.unparse(default)}"
    )
    return ast.unparse(argument) + equals


def _prose(doc: str) -> str:
    """Return a docstring as Markdown: ``code`` with single ticks, and no HTML between them."""
    parts = re.sub(r"``([^`]+)``", r"`\1`", doc).split("`")
    return "`".join(part if index % 2 else part.replace("<", "&lt;") for index, part in enumerate(parts))
