"""The notebooks of docs/notebooks: each runs from top to bottom in an empty folder; their links lead to pages."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from tests.docs.markdown import ROOT, links

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
PAGE = (ROOT / "docs" / "start" / "notebooks.md").read_text(encoding="utf-8")
MAX_BYTES = 1_000_000


def cells(file: Path, kind: str) -> list[str]:
    notebook = json.loads(file.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == kind]


def test_the_page_lists_every_notebook() -> None:
    assert len(NOTEBOOKS) == 3
    assert [file.name for file in NOTEBOOKS if f"../notebooks/{file.name}" not in PAGE] == []


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_notebook_is_small_and_its_python_and_links_are_valid(file: Path) -> None:
    assert file.stat().st_size < MAX_BYTES
    for text in cells(file, "code"):
        ast.parse(re.sub(r"^(\s*)!.*$", r"\1pass", text, flags=re.MULTILINE))
    targets = [target for text in cells(file, "markdown") for target in links(text)]
    assert [target for target in targets if not (file.parent / target).is_file()] == []


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_notebook_runs(file: Path, tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat", reason="pip install '.[docs]'")
    nbclient = pytest.importorskip("nbclient", reason="pip install '.[docs]'")
    notebook = nbformat.read(file, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=1800, startup_timeout=300, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    printed = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert any("image/png" in output.get("data", {}) or "image/jpeg" in output.get("data", {}) for output in printed)
