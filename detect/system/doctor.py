"""Checks whether a machine can run detect, judged from plain facts; each failed check states its fix.

detect.system.environment collects the facts. Nothing here reads the machine, so that tests can describe a broken one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# The same bounds as in pyproject.toml.
MIN_VERSIONS = {
    "torch": "2.11",
    "torchvision": "0.26",
    "albumentations": "2.0.8",
    "numpy": "2",
    "pycocotools": "2.0.8",
}
OPENCV = (
    "opencv-python-headless",
    "opencv-python",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
    "opencv-python-rolling",
)
GIB = 2**30


@dataclass(frozen=True)
class Check:
    """A checked property of the machine: its name, the detail that was found, and the fix, or None if it is fine."""

    name: str
    detail: str
    fix: str | None = None

    def __str__(self) -> str:
        return f"{'ok' if self.fix is None else 'problem':8}{self.name}: {self.detail}" + (
            "" if self.fix is None else f"; fix: {self.fix}"
        )


def check_package(name: str, version: str | None, error: str | None) -> Check:
    """Check a required package.

    version: the installed version, or None; error: the message of a failed import, or None.
    """
    min_version = MIN_VERSIONS[name]
    if version is None:
        return Check(name, "not installed", f"pip install '{name}>={min_version}'")
    if _version_numbers(version) < _version_numbers(min_version):
        return Check(name, f"{version}, older than {min_version}", f"pip install --upgrade '{name}>={min_version}'")
    if error is not None:
        return Check(
            name, f"{version}, import fails: {error}", f"pip install --force-reinstall '{name}>={min_version}'"
        )
    return Check(name, version)


def check_torch_pair(torch: str | None, torchvision: str | None, requires: Sequence[str], error: str | None) -> Check:
    """Check that torchvision's compiled operators run with this torch.

    requires: torchvision's own requirements, as its wheel states them; error: the message when its NMS failed, or None.
    (A CPU-only torch with a CUDA torchvision satisfies the requirements and fails in NMS: "operator torchvision::nms
    does not exist".)
    """
    name, fix = "torch and torchvision", "pip install --upgrade --force-reinstall torch torchvision (both at once)"
    if torch is None or torchvision is None:
        return Check(name, "not both installed", "pip install torch torchvision (both at once)")
    pair = f"{torch} and {torchvision}"
    for requirement in requires:
        if re.match(r"torch\b(?!-)", requirement) and not _satisfies(torch, requirement):
            required = requirement.split(";")[0].strip()
            return Check(name, f"{pair} do not match: this torchvision needs {required}", fix)
    if error is not None:
        return Check(name, f"{pair} do not match: {error}", fix)
    return Check(name, f"{pair} match")


def check_opencv(installed: Mapping[str, str], error: str | None) -> Check:
    """Check that exactly one OpenCV wheel is installed and can be imported.

    installed: the versions by name of the wheels that contain cv2 (two wheels overwrite each other's files); error: the
    message of a failed import, or None.
    """
    preferred = OPENCV[0]
    versions = ", ".join(f"{name} {version}" for name, version in installed.items())
    if not installed:
        return Check("opencv", "not installed", f"pip install {preferred}")
    if len(installed) > 1:
        fix = f"pip uninstall -y {' '.join(installed)} && pip install {preferred}"
        return Check("opencv", f"{len(installed)} wheels that overwrite each other: {versions}", fix)
    if error is not None:
        fix = f"pip uninstall -y {' '.join(installed)} && pip install {preferred} (needs no libGL)"
        return Check("opencv", f"{versions}, import fails: {error}", fix)
    return Check("opencv", versions)


def check_device(gpus: Sequence[str], driver: bool, build: str | None) -> Check:
    """Check that torch can use the GPU where there is one.

    gpus: those that torch can use; driver: whether NVIDIA's driver is loaded; build: the CUDA version torch was built
    for.
    """
    if gpus:
        return Check("device", ", ".join(gpus))
    if not driver:
        return Check("device", "CPU (no NVIDIA driver)")
    if build is None:
        fix = "pip install --force-reinstall torch torchvision from the default index, which has CUDA builds"
        return Check("device", "an NVIDIA driver, but a torch without CUDA", fix)
    fix = f"update the driver to one for CUDA {build}, and check that the container has access to the GPUs"
    return Check("device", f"an NVIDIA driver, but torch for CUDA {build} sees no GPU", fix)


def check_threads(num_threads: int, num_cores: int) -> Check:
    """Check that torch uses no more threads than there are cores for this process."""
    detail = f"{num_threads} computing threads on {num_cores} cores"
    return Check("threads", detail, f"export OMP_NUM_THREADS={num_cores}" if num_threads > num_cores else None)


def check_folder(name: str, folder: str, error: str | None, fix: str) -> Check:
    """Check that a folder can be written.

    error: the message of a failed attempt to write a file into it, or None.
    """
    if error is None:
        return Check(name, f"{folder} can be written")
    return Check(name, f"{folder} cannot be written: {error}", fix)


def check_disk_space(name: str, folder: str, free_bytes: int, min_bytes: int, fix: str) -> Check:
    """Check that at least ``min_bytes`` of ``free_bytes`` are free at ``folder``."""
    detail = f"{free_bytes / GIB:.1f} GiB free at {folder}"
    if free_bytes >= min_bytes:
        return Check(name, detail)
    return Check(name, f"{detail}, expected at least {min_bytes / GIB:.1f}", fix)


def summary_line(checks: Sequence[Check]) -> str:
    """Return one line with the number and the names of the failed checks."""
    problems = [check.name for check in checks if check.fix is not None]
    if not problems:
        return "ready"
    return f"{len(problems)} problem{'s' if len(problems) > 1 else ''}: {', '.join(problems)}"


def _version_numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version without zeros at the end, so that 2.15 equals 2.15.0: 2.15.0+cpu -> (2,
    15).
    """
    match = re.match(r"\d+(\.\d+)*", version)
    numbers = [int(part) for part in match[0].split(".")] if match else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def _satisfies(version: str, requirement: str) -> bool:
    """Return whether ``2.15.0+cu130`` satisfies ``torch==2.15.0`` or ``torch (<3,>=2.14)``; other forms pass."""
    installed = _version_numbers(version)
    for sign, bound in re.findall(r"(==|>=|<=|!=|<|>)\s*([\d.]+)", requirement.split(";")[0]):
        required = _version_numbers(bound)
        holds = {
            "==": installed == required,
            "!=": installed != required,
            ">=": installed >= required,
            "<=": installed <= required,
            ">": installed > required,
            "<": installed < required,
        }
        if not holds[sign]:
            return False
    return True
