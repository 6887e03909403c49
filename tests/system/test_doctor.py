from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from detect.system import doctor
from detect.system.doctor import GIB, LEAST, Finding

ROOT = Path(__file__).resolve().parents[2]

PACKAGES = [
    ("torch", None, None, "not installed", "pip install 'torch>=2.11'"),
    ("torch", "2.15.0+cpu", None, "2.15.0+cpu", None),
    ("torch", "2.11", None, "2.11", None),
    ("torch", "2.9.1", None, "2.9.1, older than 2.11", "pip install --upgrade 'torch>=2.11'"),
    (
        "numpy",
        "2.4.0",
        "no module x",
        "2.4.0, import fails: no module x",
        "pip install --force-reinstall 'numpy>=1.26'",
    ),
]


@pytest.mark.parametrize(("name", "version", "error", "found", "cure"), PACKAGES)
def test_package(name: str, version: str | None, error: str | None, found: str, cure: str | None) -> None:
    assert doctor.package(name, version, error) == Finding(name, found, cure)


NO_NMS = "operator torchvision::nms does not exist"
PAIRS = [
    (None, None, [], None, "not both installed"),
    ("2.15.0", None, [], None, "not both installed"),
    ("2.15.0+cu130", "0.29.2", ["numpy", "torch (>=2.14.0)", "gdown ; extra == 'gdown'"], None, None),
    ("2.11.0", "0.26.0", ["torch==2.11.0"], None, None),
    ("2.11.0", "0.26.0", ["torch==2.11"], None, None),
    ("2.13.0+cpu", "0.26.0", ["torch==2.11.0"], None, "needs torch==2.11.0"),
    ("2.13.0", "0.29.2", ["torch (<3,>=2.14.0)"], None, "needs torch (<3,>=2.14.0)"),
    ("3.0", "0.29.2", ["torch (<3,>=2.14.0)"], None, "needs torch (<3,>=2.14.0)"),
    ("2.13.0+cpu", "0.28.0", ["torch-geometric==1.0", "torchaudio==1.0"], NO_NMS, NO_NMS),
]


@pytest.mark.parametrize(("torch", "torchvision", "requires", "error", "problem"), PAIRS)
def test_torch_pair(
    torch: str | None, torchvision: str | None, requires: list[str], error: str | None, problem: str | None
) -> None:
    finding = doctor.torch_pair(torch, torchvision, requires, error)
    assert (finding.cure is None) == (problem is None)
    assert (problem or "match") in finding.found


WHEELS = [
    ({}, None, "not installed", "pip install opencv-python-headless"),
    ({"opencv-python-headless": "5.0"}, None, "opencv-python-headless 5.0", None),
    (
        {"opencv-python": "5.0"},
        "libGL.so.1: cannot open",
        "import fails: libGL.so.1: cannot open",
        "pip uninstall -y opencv-python && pip install opencv-python-headless",
    ),
    (
        {"opencv-python-headless": "5.0", "opencv-contrib-python": "4.9"},
        None,
        "2 wheels that overwrite each other: opencv-python-headless 5.0, opencv-contrib-python 4.9",
        "pip uninstall -y opencv-python-headless opencv-contrib-python && pip install opencv-python-headless",
    ),
]


@pytest.mark.parametrize(("installed", "error", "found", "cure"), WHEELS)
def test_opencv(installed: dict[str, str], error: str | None, found: str, cure: str | None) -> None:
    finding = doctor.opencv(installed, error)
    assert found in finding.found
    assert finding.cure is None if cure is None else cure in str(finding.cure)


DEVICES = [
    ([], False, None, "CPU", False),
    ([], False, "13.0", "CPU", False),
    (["A, 40 GiB", "B, 80 GiB"], True, "13.0", "A, 40 GiB, B, 80 GiB", False),
    ([], True, None, "without CUDA", True),
    ([], True, "13.0", "sees no GPU", True),
]


@pytest.mark.parametrize(("gpus", "driver", "build", "found", "wrong"), DEVICES)
def test_device(gpus: list[str], driver: bool, build: str | None, found: str, wrong: bool) -> None:
    finding = doctor.device(gpus, driver, build)
    assert found in finding.found
    assert (finding.cure is not None) == wrong


OTHERS = [
    (doctor.threads(1, 1), None),
    (doctor.threads(2, 16), None),
    (doctor.threads(64, 2), "export OMP_NUM_THREADS=2"),
    (doctor.writable("folder", "/x", None, "move"), None),
    (doctor.writable("folder", "/x", "Permission denied", "move"), "move"),
    (doctor.space("disk", "/x", 0, GIB, "free"), "free"),
    (doctor.space("disk", "/x", GIB, GIB, "free"), None),
]


@pytest.mark.parametrize(("finding", "cure"), OTHERS)
def test_threads_folders_and_space(finding: Finding, cure: str | None) -> None:
    assert finding.cure == cure


GOOD, BAD = Finding("a", "1.0"), Finding("b", "gone", "get it")


@pytest.mark.parametrize(
    ("findings", "line"),
    [
        ([], "verdict: ready"),
        ([GOOD], "verdict: ready"),
        ([GOOD, BAD], "verdict: 1 problem: b"),
        ([BAD, GOOD, BAD], "verdict: 2 problems: b, b"),
    ],
)
def test_verdict(findings: list[Finding], line: str) -> None:
    assert doctor.verdict(findings) == line


def test_a_finding_is_one_line() -> None:
    assert str(GOOD) == "ok      a: 1.0"
    assert str(BAD) == "problem b: gone; cure: get it"


def test_the_least_versions_are_those_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    told = [text.split(",")[0].split(">=") for text in project["dependencies"]]
    assert {name: least for name, least in told if name in LEAST} == LEAST
