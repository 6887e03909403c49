from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.layers import CONTRIBUTING, HEIGHT, with_table

PACKAGE = Path(__file__).resolve().parents[1] / "detect"

FACADE = "__init__"  # detect/__init__.py: the version and the names of api


def imported_entries(source: str) -> Iterator[str]:
    """The entries of LAYERS that a module imports, inside functions and under TYPE_CHECKING too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "detect":
            names = [f"detect.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"detect.{'.' * node.level}" if node.level else str(node.module)]
        else:
            continue
        yield from (name.split(".")[1] if "." in name else FACADE for name in names if name.split(".")[0] == "detect")


def upward_imports(entry: str, source: str) -> list[str]:
    """The imports of a module of ``entry`` that do not point down."""
    allowed = (
        {"api", "version"} if entry == FACADE else {entry} | {name for name in HEIGHT if HEIGHT[name] < HEIGHT[entry]}
    )
    return [f"{entry} imports {imported}" for imported in imported_entries(source) if imported not in allowed]


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def entry_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_every_module_has_a_layer() -> None:
    assert {entry_of(file) for file in modules()} - {FACADE} == set(HEIGHT)


@pytest.mark.parametrize("file", modules(), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_point_down(file: Path) -> None:
    assert upward_imports(entry_of(file), file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("entry", "source", "expected"),
    [
        ("ops", "", []),
        ("ops", "import torch\nfrom detect.types import Size", []),
        ("ops", "from detect.ops.nms import nms", []),
        ("ops", "from detect.version import __version__", []),
        ("ops", "from detect import errors, inference", ["ops imports inference"]),
        ("ops", "from detect import __version__", ["ops imports __version__"]),
        ("ops", "import detect.data.formats.voc", ["ops imports data"]),
        ("ops", "def late():\n    from detect.models.detector import Detector", ["ops imports models"]),
        ("ops", "if TYPE_CHECKING:\n    from detect.data.formats.coco import A", ["ops imports data"]),
        ("models", "from detect.data.annotations import Annotations", ["models imports data"]),
        ("models", "import detect", ["models imports __init__"]),
        ("api", "from detect.cli.main import run", ["api imports cli"]),
        (FACADE, "from detect.api import load\nfrom detect.training.run import x", ["__init__ imports training"]),
    ],
)
def test_upward_imports_of_an_upward_import_names_it(entry: str, source: str, expected: list[str]) -> None:
    assert upward_imports(entry, source) == expected


def test_contributing_table_when_layers_change_is_stale() -> None:
    text = CONTRIBUTING.read_text(encoding="utf-8")
    assert with_table(text) == text, "run python -m tests.layers"


def test_top_level_of_the_package_has_at_most_25_entries() -> None:
    unread = ("__pycache__", "py.typed")  # the second, which marks typed packages, is empty (PEP 561)
    assert len([path for path in PACKAGE.iterdir() if path.name not in unread]) <= 25
