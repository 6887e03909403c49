#!/usr/bin/env python3
"""Build the archives of a release, and run the wheel in an empty environment outside the checkout.

    python tools/check_release.py --out build/release

Needs the extra `dev`. Builds the sdist, and the wheel from it; checks their metadata, their files and the size of the
wheel; installs the wheel with its dependencies in OUT/environment, and detects there on a photo.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from email.message import Message
from email.parser import BytesParser
from pathlib import Path

import click

from detect.cli.exit_status import run_command
from detect.errors import RunError, UserError

ROOT = Path(__file__).resolve().parents[1]
MAX_WHEEL_MB = 18.0
WHEEL_FILES = (
    "detect/py.typed",
    "detect/checkpoints/shipped/voc_faster_rcnn.safetensors",
    "detect/checkpoints/shipped/NOTICE.md",
    "detect/configs/faster_rcnn.yaml",
    "detect/export/photos/cat.jpg",
)
SDIST_FILES = (
    "README.md",
    "CHANGELOG.md",
    "LICENSE",
    "pyproject.toml",
    "tests/conftest.py",
    "docs/index.md",
    "configs/faster_rcnn.yaml",
)
FIELDS = (
    "Summary",
    "Author",
    "License-Expression",
    "License-File",
    "Keywords",
    "Classifier",
    "Requires-Python",
    "Requires-Dist",
    "Provides-Extra",
    "Description-Content-Type",
)
# Run outside the checkout: the package must come from the environment, with its types, and find its detector.
SCRIPT = """
import importlib.resources, sys
import detect
folder = importlib.resources.files("detect")
assert str(folder).startswith(sys.prefix), f"expected the package in {sys.prefix}, found it in {folder}"
assert (folder / "py.typed").is_file(), "expected detect/py.typed, found none"
detections = detect.load("detect/voc_faster_rcnn").predict(sys.argv[1], score=0.5)
assert "cat" in detections.names(), f"expected a cat, found {detections.names()}"
"""


@click.command(help=__doc__)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the archives, made anew.")
def main(out: Path) -> None:
    """Build, check, install and run, and print a line for each."""
    out = out.resolve()  # the steps run in other folders
    if out.exists() and not (out / ".release").is_file():
        raise UserError(f"--out: expected no folder, or one of an earlier check, found {out}")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    (out / ".release").touch()
    run_step([sys.executable, "-m", "build", "--outdir", str(out), str(ROOT)], out)
    (sdist,), (wheel,) = sorted(out.glob("*.tar.gz")), sorted(out.glob("*.whl"))
    run_step([sys.executable, "-m", "twine", "check", "--strict", str(sdist), str(wheel)], out)
    with tarfile.open(sdist) as archive:
        require_files(sdist, [name.partition("/")[2] for name in archive.getnames()], SDIST_FILES)
    with zipfile.ZipFile(wheel) as archive:
        require_files(wheel, archive.namelist(), WHEEL_FILES)
        require_fields(wheel, read_metadata(archive))
    megabytes = wheel.stat().st_size / 1e6
    if megabytes > MAX_WHEEL_MB:
        raise RunError(f"{wheel.name}: expected at most {MAX_WHEEL_MB:g} MB, found {megabytes:.1f}")
    print(f"{sdist.name}: {sdist.stat().st_size / 1e6:.1f} MB; {wheel.name}: {megabytes:.1f} MB; metadata complete")
    run_wheel(wheel, out)
    print("the wheel detects in an empty environment, outside the checkout")


def run_wheel(wheel: Path, out: Path) -> None:
    """Install a wheel in an environment of its own, and use it in a folder that has nothing but a photo."""
    environment, folder = out / "environment", out / "elsewhere"
    folder.mkdir()
    shutil.copy(ROOT / "data" / "photos" / "cat.jpg", folder / "cat.jpg")
    run_step([sys.executable, "-m", "venv", str(environment)], folder)
    programs = environment / ("Scripts" if os.name == "nt" else "bin")
    run_step([str(programs / "python"), "-m", "pip", "install", "-q", str(wheel)], folder)
    run_step([str(programs / "detect"), "--version"], folder)
    run_step([str(programs / "detect"), "predict", "detect/voc_faster_rcnn", "cat.jpg", "--out", "found"], folder)
    run_step([str(programs / "python"), "-c", SCRIPT, "cat.jpg"], folder)


def run_step(command: Sequence[str], folder: Path) -> None:
    """Run a command in a folder, without the paths of this process; RunError with its text where it fails."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RunError(
            f"{' '.join(command)}: expected exit status 0, found {done.returncode}: {done.stdout}{done.stderr}"
        )


def require_files(archive: Path, found: Sequence[str], expected: Sequence[str]) -> None:
    """Raise RunError where an archive lacks a file."""
    missing = sorted(set(expected) - set(found))
    if missing:
        raise RunError(f"{archive.name}: expected {', '.join(missing)}, found no such file")


def require_fields(wheel: Path, metadata: Message) -> None:
    """Raise RunError where the metadata lacks a field."""
    missing = [field for field in FIELDS if not metadata.get(field)]
    if missing:
        raise RunError(f"{wheel.name}: expected the metadata {', '.join(missing)}, found none")


def read_metadata(wheel: zipfile.ZipFile) -> Message:
    """Return the core metadata of a wheel."""
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    return BytesParser().parsebytes(wheel.read(name))


if __name__ == "__main__":
    run_command(main, "check_release")
