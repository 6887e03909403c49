#!/usr/bin/env python3
"""Write the table of docs/start/licenses.md: the licenses of the packages that detect needs or can use.

    python tools/list_licenses.py docs/start/licenses.md

Each package of pyproject.toml must be installed, and pip-licenses: the license is what a package says itself.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from detect.cli.exit_status import run_command
from detect.errors import RunError, UserError
from detect.system.files import require_file, write_text

ROOT = Path(__file__).resolve().parents[1]
REQUIRED = "always"
# Where a package has no license in its metadata: that of its repository, looked up by hand.
BY_HAND = {"faster-coco-eval": "Apache-2.0"}
HEADER = "| package | version | license | installed |\n|---|---|---|---|\n"


@click.command(help=__doc__)
@click.argument("page", type=click.Path(path_type=Path))
def main(page: Path) -> None:
    """Replace the table of the page by that of this environment."""
    text = require_file(page, "the page of licenses").read_text("utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    found = installed_licenses()
    wanted = wanted_packages(project["dependencies"], project["optional-dependencies"])
    write_text(page, replace_table(text, license_rows(wanted, found)))
    print(f"{page}: {len(wanted)} packages")


def replace_table(text: str, rows: Sequence[str]) -> str:
    """Return a page with other rows in the table that HEADER begins. Raises UserError for a page without it."""
    before, header, after = text.partition(HEADER)
    if not header:
        raise UserError(f"expected a page with the table {HEADER.splitlines()[0]}, found none")
    rest = after.splitlines(keepends=True)
    while rest and rest[0].startswith("|"):
        rest.pop(0)
    return before + header + "".join(f"{row}\n" for row in rows) + "".join(rest)


def wanted_packages(dependencies: Sequence[str], extras: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return by name when each direct dependency is installed: always, or with which extras."""
    wanted: dict[str, list[str]] = {package_name(requirement): [REQUIRED] for requirement in dependencies}
    for extra, requirements in extras.items():
        for requirement in requirements:
            reasons = wanted.setdefault(package_name(requirement), [])
            if REQUIRED not in reasons:
                reasons.append(f"`{extra}`")
    return wanted


def package_name(requirement: str) -> str:
    """Return the normalized name in a requirement (PEP 503)."""
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    if match is None:
        raise UserError(f"pyproject.toml: expected a requirement that starts with a name, found {requirement}")
    return re.sub(r"[-_.]+", "-", match.group()).lower()


def license_rows(wanted: Mapping[str, Sequence[str]], found: Mapping[str, tuple[str, str]]) -> list[str]:
    """Return a row for each wanted package. Raises UserError for those that are missing or name no license."""
    missing = sorted(name for name in wanted if name not in found)
    if missing:
        raise UserError(
            f"expected each package of pyproject.toml, found none of {', '.join(missing)}: pip install them"
        )
    unknown = sorted(name for name in wanted if found[name][1] == "UNKNOWN")
    if unknown:
        raise UserError(f"expected a license, found none in the metadata of {', '.join(unknown)}: add it to BY_HAND")
    return [f"| {name} | {found[name][0]} | {found[name][1]} | {', '.join(when)} |" for name, when in wanted.items()]


def installed_licenses() -> dict[str, tuple[str, str]]:
    """Return the version and the license of each package of this environment, by its normalized name."""
    command = [sys.executable, "-m", "piplicenses", "--from=mixed", "--with-system", "--format=json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RunError(f"pip-licenses: expected exit status 0, found {done.returncode}: {done.stderr.strip()}")
    packages = {package_name(row["Name"]): (row["Version"], row["License"]) for row in json.loads(done.stdout)}
    return {
        name: (version, BY_HAND.get(name, license_name) if license_name == "UNKNOWN" else license_name)
        for name, (version, license_name) in packages.items()
    }


if __name__ == "__main__":
    run_command(main, "list_licenses")
