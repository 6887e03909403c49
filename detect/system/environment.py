"""The facts that detect.system.doctor judges, read from this machine.

Torch and the other compiled packages are imported in a process of their own: where one is broken enough to kill its
process, the rest is still told.
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
from detect.system.doctor import GIB, LEAST, OPENCV, Finding

MODULES = {"numpy": "numpy", "opencv": "cv2", "pycocotools": "pycocotools.mask", "albumentations": "albumentations"}

# Prints a line as soon as it knows it, for the case that the next import ends the process.
PROBE = """
import importlib, json, sys
def tell(what, run):
    try:
        answer = {"answer": run()}
    except BaseException as error:
        answer = {"error": (str(error).strip().splitlines() or [type(error).__name__])[0]}
    print("\\n" + json.dumps([what, answer]), flush=True)
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
tell("torch", torch_facts)
tell("torchvision", nms)
for name, module in json.loads(sys.argv[1]).items():
    tell(name, lambda: importlib.import_module(module).__name__)
"""
PATIENCE = 120  # seconds for all imports; a cold disk takes tens


def examine(folder: Path) -> list[Finding]:
    """This machine, with ``folder`` as the one to work in. Takes as long as importing torch."""
    answers = _probe()
    versions = {name: _version(name) for name in (*LEAST, *OPENCV)}
    torch = answers["torch"].get("answer")
    errors = {name: answer.get("error") for name, answer in answers.items()}
    found = [Finding("python", sys.version.split()[0])]
    found += [doctor.package(name, versions[name], errors[name]) for name in LEAST if name != "torchvision"]
    found += [
        doctor.package("torchvision", versions["torchvision"], None),
        doctor.torch_pair(
            versions["torch"], versions["torchvision"], _requirements("torchvision"), errors["torchvision"]
        ),
        doctor.opencv({name: str(versions[name]) for name in OPENCV if versions[name]}, errors["opencv"]),
    ]
    if torch is not None:
        driver = Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None
        found += [
            doctor.device(torch["gpus"], driver, torch["build"]),
            doctor.threads(torch["threads"], _cores()),
        ]
    return found + _folders(folder, None if torch is None else Path(torch["hub"]))


def _folders(folder: Path, hub: Path | None) -> list[Finding]:
    found = [doctor.writable("working folder", str(folder), _write_error(folder), "work in a folder of your own")]
    if hub is not None:
        cure = "export TORCH_HOME=a folder of your own"
        found.append(doctor.writable("weights cache", str(hub), _write_error(hub), cure))
    free = shutil.disk_usage(folder).free
    found.append(doctor.space("disk", str(folder), free, 2 * GIB, "free some, or write runs elsewhere by --out"))
    return found


def _probe() -> dict[str, dict[str, Any]]:
    """For each package ``answer`` or ``error``; the one at which the process died has what it died of as error."""
    answers: dict[str, dict[str, Any]] = {}
    command = [sys.executable, "-W", "ignore", "-c", PROBE, json.dumps(MODULES)]
    environment = os.environ | {"NO_ALBUMENTATIONS_UPDATE": "1"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE, env=environment, check=False, errors="replace"
        )
        text, end = done.stdout, f"its import ended the process with status {done.returncode}"
    except subprocess.TimeoutExpired as late:
        text = late.stdout.decode(errors="replace") if isinstance(late.stdout, bytes) else late.stdout or ""
        end = f"its import took over {PATIENCE} s"
    for line in text.splitlines():
        if line.startswith("["):
            name, answer = json.loads(line)
            answers[name] = answer
    for name in ("torch", "torchvision", *MODULES):
        answers.setdefault(name, {"error": end})
    return answers


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


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _write_error(folder: Path) -> str | None:
    """What writing into a folder says, or where there is none yet, into the nearest one above it."""
    there = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            return None
    except OSError as error:
        return error.strerror or str(error)
