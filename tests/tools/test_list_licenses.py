"""The table of licenses: what it lists, and that the page lists every package of pyproject.toml."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from detect.errors import UserError
from tools.list_licenses import HEADER, license_rows, package_name, replace_table, wanted_packages

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("requirement", "name"),
    [("torch>=2.11", "torch"), ("PyYAML>=6.0", "pyyaml"), ("faster_coco.eval [x] >=1", "faster-coco-eval")],
)
def test_names_are_normalized(requirement: str, name: str) -> None:
    assert package_name(requirement) == name


def test_a_package_that_is_always_installed_names_no_extra() -> None:
    assert wanted_packages([], {}) == {}
    wanted = wanted_packages(["numpy>=1"], {"docs": ["numpy>=2", "onnx"], "dev": ["onnx"]})
    assert wanted == {"numpy": ["always"], "onnx": ["`docs`", "`dev`"]}


@pytest.mark.parametrize(
    ("found", "message"),
    [({}, "found none of torch: pip install"), ({"torch": ("1.0", "UNKNOWN")}, "found none in the metadata of torch")],
)
def test_missing_packages_and_licenses_are_refused(found: dict[str, tuple[str, str]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        license_rows({"torch": ["always"]}, found)


def test_only_the_table_is_replaced() -> None:
    page = f"# Licenses\n{HEADER}| old | 1 | MIT | always |\n\n| other | table |\n"
    rows = license_rows({"torch": ["always"]}, {"torch": ("2.0", "BSD")})
    assert replace_table(page, rows) == f"# Licenses\n{HEADER}| torch | 2.0 | BSD | always |\n\n| other | table |\n"
    with pytest.raises(UserError, match="expected a page with the table"):
        replace_table("# Licenses\n", rows)


def test_page_lists_every_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    page = (ROOT / "docs" / "start" / "licenses.md").read_text("utf-8")
    wanted = wanted_packages(project["dependencies"], project["optional-dependencies"])
    assert [name for name in wanted if f"\n| {name} |" not in page] == []
