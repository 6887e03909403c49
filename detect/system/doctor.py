"""Whether a machine can run detect, judged from plain facts: each finding with its cure.

detect.system.environment gathers the facts; nothing here looks at the machine, so a broken one can be described.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# As in pyproject.toml.
LEAST = {"torch": "2.11", "torchvision": "0.26", "albumentations": "2.0.8", "numpy": "1.26", "pycocotools": "2.0.8"}
OPENCV = (
    "opencv-python-headless",
    "opencv-python",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
    "opencv-python-rolling",
)
GIB = 2**30


@dataclass(frozen=True)
class Finding:
    """what: a word for it; found: what is there; cure: what to do, None where nothing is wrong."""

    what: str
    found: str
    cure: str | None = None

    def __str__(self) -> str:
        return f"{'ok' if self.cure is None else 'problem':8}{self.what}: {self.found}" + (
            "" if self.cure is None else f"; cure: {self.cure}"
        )


def package(name: str, version: str | None, error: str | None) -> Finding:
    """A package that detect needs: its version (None: not installed), and what importing it said (None: nothing)."""
    least = LEAST[name]
    if version is None:
        return Finding(name, "not installed", f"pip install '{name}>={least}'")
    if _number(version) < _number(least):
        return Finding(name, f"{version}, older than {least}", f"pip install --upgrade '{name}>={least}'")
    if error is not None:
        return Finding(name, f"{version}, import fails: {error}", f"pip install --force-reinstall '{name}>={least}'")
    return Finding(name, version)


def torch_pair(torch: str | None, torchvision: str | None, requires: Sequence[str], error: str | None) -> Finding:
    """Whether torchvision's compiled operators run beside this torch.

    requires: torchvision's own requirements, as its wheel states them; error: what running its NMS said. (A CPU-only
    torch beside a CUDA torchvision satisfies the former and fails the latter: "operator torchvision::nms does not
    exist".)
    """
    what, cure = "torch and torchvision", "pip install --upgrade --force-reinstall torch torchvision (both at once)"
    if torch is None or torchvision is None:
        return Finding(what, "not both installed", "pip install torch torchvision (both at once)")
    pair = f"{torch} and {torchvision}"
    for requirement in requires:
        if re.match(r"torch\b(?!-)", requirement) and not _satisfies(torch, requirement):
            wanted = requirement.split(";")[0].strip()
            return Finding(what, f"{pair} do not match: this torchvision needs {wanted}", cure)
    if error is not None:
        return Finding(what, f"{pair} do not match: {error}", cure)
    return Finding(what, f"{pair} match")


def opencv(installed: Mapping[str, str], error: str | None) -> Finding:
    """installed: versions of the wheels that bring cv2; two overwrite each other's files."""
    kept = OPENCV[0]
    found = ", ".join(f"{name} {version}" for name, version in installed.items())
    if not installed:
        return Finding("opencv", "not installed", f"pip install {kept}")
    if len(installed) > 1:
        cure = f"pip uninstall -y {' '.join(installed)} && pip install {kept}"
        return Finding("opencv", f"{len(installed)} wheels that overwrite each other: {found}", cure)
    if error is not None:
        cure = f"pip uninstall -y {' '.join(installed)} && pip install {kept} (needs no libGL)"
        return Finding("opencv", f"{found}, import fails: {error}", cure)
    return Finding("opencv", found)


def device(gpus: Sequence[str], driver: bool, build: str | None) -> Finding:
    """gpus: those torch can use; driver: whether NVIDIA's is loaded; build: the CUDA version torch was built for."""
    if gpus:
        return Finding("device", ", ".join(gpus))
    if not driver:
        return Finding("device", "CPU (no NVIDIA driver)")
    if build is None:
        cure = "pip install --force-reinstall torch torchvision from the default index, which has CUDA builds"
        return Finding("device", "an NVIDIA driver, but a torch without CUDA", cure)
    cure = f"update the driver to one for CUDA {build}, and see that the container is given its GPUs"
    return Finding("device", f"an NVIDIA driver, but torch for CUDA {build} sees no GPU", cure)


def threads(computing: int, cores: int) -> Finding:
    """computing: how many threads torch uses; cores: how many this process may run on."""
    found = f"{computing} computing on {cores} cores"
    return Finding("threads", found, f"export OMP_NUM_THREADS={cores}" if computing > cores else None)


def writable(what: str, folder: str, error: str | None, cure: str) -> Finding:
    """error: what writing a file into the folder said."""
    if error is None:
        return Finding(what, f"{folder} can be written")
    return Finding(what, f"{folder} cannot be written: {error}", cure)


def space(what: str, folder: str, free: int, needed: int, cure: str) -> Finding:
    """free and needed: bytes."""
    found = f"{free / GIB:.1f} GiB free at {folder}"
    if free >= needed:
        return Finding(what, found)
    return Finding(what, f"{found}, expected at least {needed / GIB:.1f}", cure)


def verdict(findings: Sequence[Finding]) -> str:
    """One line."""
    wrong = [finding.what for finding in findings if finding.cure is not None]
    if not wrong:
        return "verdict: ready"
    return f"verdict: {len(wrong)} problem{'s' if len(wrong) > 1 else ''}: {', '.join(wrong)}"


def _number(version: str) -> tuple[int, ...]:
    """2.15.0+cpu -> (2, 15): leading numbers, without zeros at the end, so that 2.15 equals 2.15.0."""
    found = re.match(r"\d+(\.\d+)*", version)
    numbers = [int(part) for part in found[0].split(".")] if found else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def _satisfies(version: str, requirement: str) -> bool:
    """Whether ``2.15.0+cu130`` satisfies ``torch==2.15.0`` or ``torch (<3,>=2.14)``; other forms are granted."""
    found = _number(version)
    for sign, bound in re.findall(r"(==|>=|<=|!=|<|>)\s*([\d.]+)", requirement.split(";")[0]):
        wanted = _number(bound)
        holds = {
            "==": found == wanted,
            "!=": found != wanted,
            ">=": found >= wanted,
            "<=": found <= wanted,
            ">": found > wanted,
            "<": found < wanted,
        }
        if not holds[sign]:
            return False
    return True
