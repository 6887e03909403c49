"""Reads from this machine the facts that detect.system.doctor judges.

Torch and the other compiled packages are imported in a separate process: a package so broken that it kills its process
does not hide the state of the others.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

from detect.system import doctor
from detect.system.cpu import available_cores
from detect.system.doctor import GIB, MIN_VERSIONS, OPENCV, Check

MODULES = {"numpy": "numpy", "opencv": "cv2", "pycocotools": "pycocotools.mask", "albumentations": "albumentations"}

# Prints each line at once, in case the next import ends the process.
PROBE = """
import importlib, json, sys
def report(package, probe):
    try:
        outcome = {"facts": probe()}
    except BaseException as error:
        outcome = {"error": (str(error).strip().splitlines() or [type(error).__name__])[0]}
    print("\\n" + json.dumps([package, outcome]), flush=True)
def nms():
    import torch, torchvision
    boxes = torch.tensor([[0.0, 0.0, 9.0, 9.0], [0.0, 0.0, 9.0, 8.0]])
    return torchvision.ops.nms(boxes, torch.tensor([0.9, 0.8]), 0.5).tolist()
def torch_facts():
    import torch
    cuda = torch.cuda
    gpus = [cuda.get_device_properties(i) for i in range(cuda.device_count())] if cuda.is_available() else []
    names = [f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB" for gpu in gpus]
    return {"gpus": names, "build": torch.version.cuda, "threads": torch.get_num_threads(), "hub": torch.hub.get_dir()}
report("torch", torch_facts)
report("torchvision", nms)
for name, module in json.loads(sys.argv[1]).items():
    report(name, lambda: importlib.import_module(module).__name__)
"""
TIMEOUT = 120  # seconds for all imports; a cold disk takes tens


def probe_environment(folder: Path) -> list[Check]:
    """Return the checks of this machine, with ``folder`` as working folder. Takes as long as importing torch."""
    outcomes = _run_probe()
    versions = {name: _version(name) for name in (*MIN_VERSIONS, *OPENCV)}
    torch = outcomes["torch"].get("facts")
    errors = {name: outcome.get("error") for name, outcome in outcomes.items()}
    checks = [Check("python", sys.version.split()[0])]
    checks += [
        doctor.check_package(name, versions[name], errors[name]) for name in MIN_VERSIONS if name != "torchvision"
    ]
    checks += [
        doctor.check_package("torchvision", versions["torchvision"], None),
        doctor.check_torch_pair(
            versions["torch"], versions["torchvision"], _requirements("torchvision"), errors["torchvision"]
        ),
        doctor.check_opencv({name: str(versions[name]) for name in OPENCV if versions[name]}, errors["opencv"]),
    ]
    if torch is not None:
        driver = Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None
        checks += [
            doctor.check_device(torch["gpus"], driver, torch["build"]),
            doctor.check_threads(torch["threads"], available_cores()),
        ]
    return checks + _check_folders(folder, None if torch is None else Path(torch["hub"]))


def _check_folders(folder: Path, hub: Path | None) -> list[Check]:
    checks = [
        doctor.check_folder("working folder", str(folder), _write_error(folder), "work in a folder that you can write")
    ]
    if hub is not None:
        fix = "export TORCH_HOME=a folder that you can write"
        checks.append(doctor.check_folder("weights cache", str(hub), _write_error(hub), fix))
    free = shutil.disk_usage(folder).free
    checks.append(
        doctor.check_disk_space(
            "disk", str(folder), free, 2 * GIB, "free disk space, or write runs elsewhere with --out"
        )
    )
    return checks


def _run_probe() -> dict[str, dict[str, Any]]:
    """Return by package ``facts`` or ``error``; for the package whose import ended the process, the error says so."""
    outcomes: dict[str, dict[str, Any]] = {}
    command = [sys.executable, "-W", "ignore", "-c", PROBE, json.dumps(MODULES)]
    environment = os.environ | {"NO_ALBUMENTATIONS_UPDATE": "1"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT, env=environment, check=False, errors="replace"
        )
        text, end = done.stdout, f"its import ended the process with status {done.returncode}"
    except subprocess.TimeoutExpired as expired:
        text = expired.stdout.decode(errors="replace") if isinstance(expired.stdout, bytes) else expired.stdout or ""
        end = f"its import took over {TIMEOUT} s"
    for line in text.splitlines():
        if line.startswith("["):
            name, outcome = json.loads(line)
            outcomes[name] = outcome
    for name in ("torch", "torchvision", *MODULES):
        outcomes.setdefault(name, {"error": end})
    return outcomes


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _requirements(name: str) -> list[str]:
    try:
        return metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return []


def _write_error(folder: Path) -> str | None:
    """Return the reason why a folder, or the nearest existing parent of it, cannot be written; None if it can be."""
    existing = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            return None
    except OSError as error:
        return error.strerror or str(error)
