"""Brings the packages that a machine without a network lacks, as a folder of wheels.

Nothing here imports more than Python's own modules: it runs before the packages are there.
"""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

# What detect needs beside torch, torchvision, numpy, OpenCV, numba and other packages that machines with a GPU have.
PACKAGES = (
    "albumentations",
    "albucore",
    "simsimd",
    "stringzilla",
    "pydantic",
    "pydantic-core",
    "annotated-types",
    "typing-inspection",
    "typing-extensions",
    "pycocotools",
    "defusedxml",
)
PLATFORMS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014", "manylinux1")
MAX_MIB = 64.0  # with the code


def collect_wheels(folder: Path, pythons: tuple[str, ...] = ("3.11", "3.12")) -> float:
    """Download the wheels of PACKAGES, in the versions that are installed here, and return their size in MiB.

    Raises SystemExit with one line if pip fails or they are more than MAX_MIB.
    """
    pinned = [f"{name}=={metadata.version(name)}" for name in PACKAGES]
    platforms = [argument for name in PLATFORMS for argument in ("--platform", f"{name}_x86_64")]
    for python in pythons:
        options = ["--no-deps", "--only-binary=:all:", "--implementation", "cp", "--python-version", python, *platforms]
        command = [sys.executable, "-m", "pip", "download", "-q", *options, "-d", str(folder), *pinned]
        if subprocess.run(command, check=False).returncode:
            raise SystemExit(f"{folder}: expected the wheels of Python {python}, found that pip failed")
    size = sum(file.stat().st_size for file in folder.glob("*.whl")) / 2**20
    if size > MAX_MIB:
        raise SystemExit(f"{folder}: expected at most {MAX_MIB:.0f} MiB of wheels, found {size:.1f}")
    return size


def install_wheels(folder: Path, into: Path) -> list[str]:
    """Install the wheels of ``folder`` that suit this Python into the folder ``into``; return the names.

    Raises SystemExit with one line if there is none, or if pip fails.
    """
    names = sorted({file.name.split("-")[0] for file in folder.glob("*.whl")})
    if not names:
        raise SystemExit(f"--wheels {folder}: expected wheels (made by --collect-wheels), found none")
    options = ["--no-index", "--no-deps", "--no-compile", "--find-links", str(folder), "--target", str(into)]
    command = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", *options, *names]
    if subprocess.run(command, check=False).returncode:
        raise SystemExit(f"--wheels {folder}: expected wheels for this Python, found that pip failed (see above)")
    return names
