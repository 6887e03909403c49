from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "detect"

# Low to high, as in CONTRIBUTING.md: an entry imports only from lines above its own. A package's modules may import
# each other; entries of one line may not.
LAYERS = [
    ["types", "errors", "randomness", "memory", "cores", "display"],
    ["files"],
    ["seals"],
    ["yaml_text"],
    ["ops"],
    ["anchors", "matching", "losses", "preprocess", "precision"],
    ["backbones"],
    ["proposals"],
    ["regions", "heads"],
    ["svm"],
    ["postprocess"],
    ["detector"],
    ["test_time"],
    ["data"],
    ["converting"],
    ["config"],
    ["config_files"],
    ["weights"],
    ["build"],
    ["receptive"],
    ["summary"],
    ["checkpoint"],
    ["distributed"],
    ["compress"],
    ["exchange"],
    ["captions"],
    ["draw", "curves"],
    ["inspection"],
    ["evaluation"],
    ["analysis"],
    ["proposing"],
    ["predict"],
    ["coverage"],
    ["training"],
    ["api"],
    ["report"],
    ["explain"],
    ["bench"],
    ["doctor"],
    ["diagnosis"],
    ["cli"],
    ["__main__"],
]
HEIGHT = {entry: height for height, line in enumerate(LAYERS) for entry in line}
FACADE = "__init__"  # detect/__init__.py: the version, which anyone may read, and the names of api


def imported_entries(source: str) -> Iterator[str]:
    """The entries of LAYERS that a module imports, inside functions and under TYPE_CHECKING too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "detect":
            names = [f"detect.{alias.name}" for alias in node.names if alias.name != "__version__"]
        elif isinstance(node, ast.ImportFrom):
            names = [f"detect.{'.' * node.level}" if node.level else str(node.module)]
        else:
            continue
        yield from (name.split(".")[1] if "." in name else FACADE for name in names if name.split(".")[0] == "detect")


def faults(entry: str, source: str) -> list[str]:
    """The imports of a module of ``entry`` that do not point down."""
    allowed = {"api"} if entry == FACADE else {entry} | {name for name in HEIGHT if HEIGHT[name] < HEIGHT[entry]}
    return [f"{entry} imports {found}" for found in imported_entries(source) if found not in allowed]


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def entry_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_every_module_has_a_layer() -> None:
    assert {entry_of(file) for file in modules()} - {FACADE} == set(HEIGHT)


@pytest.mark.parametrize("file", modules(), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_point_down(file: Path) -> None:
    assert faults(entry_of(file), file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("entry", "source", "expected"),
    [
        ("ops", "", []),
        ("ops", "import torch\nfrom detect.types import Size", []),
        ("ops", "from detect.ops.nms import nms", []),
        ("ops", "from detect import __version__", []),
        ("ops", "from detect import randomness, matching", ["ops imports matching"]),
        ("ops", "import detect.data.formats.voc", ["ops imports data"]),
        ("ops", "def late():\n    from detect.models.detector import Detector", ["ops imports detector"]),
        ("ops", "if TYPE_CHECKING:\n    from detect.data.formats.coco import A", ["ops imports data"]),
        ("matching", "from detect.ops.losses import smooth_l1", ["matching imports losses"]),
        ("heads", "import detect", ["heads imports __init__"]),
        ("api", "from detect.cli.main import run", ["api imports cli"]),
        (FACADE, "from detect.api import load\nfrom detect.training.run import x", ["__init__ imports training"]),
    ],
)
def test_an_upward_import_is_seen(entry: str, source: str, expected: list[str]) -> None:
    assert faults(entry, source) == expected


def test_contributing_lists_the_same_layers() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    told = [{name.strip("`/ ") for name in row.split()} for row in rows]
    assert sorted(name for row in told for name in row) == sorted(HEIGHT)
    order = {name: place for place, row in enumerate(told) for name in row}
    for below in HEIGHT:
        assert all(order[below] <= order[above] for above in HEIGHT if HEIGHT[above] > HEIGHT[below]), below
