#!/usr/bin/env python3
"""Build the site of the documentation into build/site; a warning, such as a dead link, is an error.

    python -m tools.build_docs             write docs/reference, then build the site
    python -m tools.build_docs --serve     show it at localhost:8000, and build again when a page is saved
    python -m tools.build_docs --pages     write docs/reference only

docs/reference is not in git: settings, commands, configurations, networks and Python names come from the code, changes
and contributing from the files of the root. The site needs `pip install '.[docs]'`.
Building it and opening it need no network.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import click

from detect.cli.exit_status import run_command
from detect.errors import RunError, UserError
from tools.docs_pages.commands import command_page
from tools.docs_pages.names_to_choose import configurations_page, networks_page
from tools.docs_pages.python_names import python_pages
from tools.docs_pages.settings import settings_pages

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "docs" / "reference"
SITE = ROOT / "build" / "site"
LOADED = re.compile(
    r"""<(?:script|img|source|iframe|link)\b[^>]*?\b(?:src|srcset|href)=["'](?P<address>(?:https?:)?//[^"']+)"""
)
FILES_OF_THE_ROOT = {"changelog.md": "CHANGELOG.md", "contributing.md": "CONTRIBUTING.md"}


def reference_pages() -> dict[str, str]:
    """Return the pages that are made at each build, by their name in docs/reference."""
    pages = {name: from_root((ROOT / file).read_text(encoding="utf-8")) for name, file in FILES_OF_THE_ROOT.items()}
    pages |= {"commands.md": command_page(), "configurations.md": configurations_page(), "networks.md": networks_page()}
    return {**pages, **settings_pages(), **python_pages()}


def from_root(text: str) -> str:
    """Return the text of a page of the root with links that are right in docs/reference."""
    for name, file in FILES_OF_THE_ROOT.items():
        text = text.replace(f"]({file}", f"]({name}")
    return text.replace("](docs/", "](../")


def write_reference() -> None:
    """Write the pages into REFERENCE, which is emptied before."""
    shutil.rmtree(REFERENCE, ignore_errors=True)
    REFERENCE.mkdir(parents=True)
    for name, text in reference_pages().items():
        (REFERENCE / name).write_text(text, encoding="utf-8")


def foreign_addresses(html: str) -> list[str]:
    """Return the addresses on other hosts that a page loads when it is opened; those of links to click are none."""
    return [match["address"] for match in LOADED.finditer(html) if 'rel="canonical"' not in match[0]]


def require_no_other_host(site: Path = SITE) -> None:
    """Raise RunError, with the page, if a page of the site loads anything from another host."""
    for page in sorted(site.rglob("*.html")):
        for address in foreign_addresses(page.read_text(encoding="utf-8")):
            raise RunError(f"{page}: expected nothing from another host, found {address}")


@click.command(help=__doc__)
@click.option("--serve", is_flag=True, help="Show the site while you write.")
@click.option("--pages", "only_pages", is_flag=True, help="Write docs/reference only.")
def main(serve: bool, only_pages: bool) -> None:
    """Write the pages that come from the code, then run Zensical."""
    write_reference()
    if only_pages:
        return
    if find_spec("zensical") is None:
        raise UserError("expected zensical, found none: pip install -e '.[docs]'")
    arguments = ["serve"] if serve else ["build", "--strict", "--clean"]
    status = subprocess.run([sys.executable, "-m", "zensical", *arguments], cwd=ROOT, check=False).returncode
    if status:
        raise RunError(f"zensical ended with status {status}")
    if not serve:
        require_no_other_host()


if __name__ == "__main__":
    run_command(main, "build_docs")
