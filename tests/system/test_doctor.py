from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from detect.system import doctor
from detect.system.doctor import GIB, MIN_VERSIONS, Check

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
        "pip install --force-reinstall 'numpy>=2'",
    ),
]


@pytest.mark.parametrize(("name", "version", "error", "detail", "fix"), PACKAGES)
def test_check_package_states_version_and_fix(
    name: str, version: str | None, error: str | None, detail: str, fix: str | None
) -> None:
    assert doctor.check_package(name, version, error) == Check(name, detail, fix)


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
def test_check_torch_pair_reports_mismatched_versions(
    torch: str | None, torchvision: str | None, requires: list[str], error: str | None, problem: str | None
) -> None:
    check = doctor.check_torch_pair(torch, torchvision, requires, error)
    assert (check.fix is None) == (problem is None)
    assert (problem or "match") in check.detail


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


@pytest.mark.parametrize(("installed", "error", "detail", "fix"), WHEELS)
def test_check_opencv_requires_one_importable_wheel(
    installed: dict[str, str], error: str | None, detail: str, fix: str | None
) -> None:
    check = doctor.check_opencv(installed, error)
    assert detail in check.detail
    assert check.fix is None if fix is None else fix in str(check.fix)


DEVICES = [
    ([], False, None, "CPU", False),
    ([], False, "13.0", "CPU", False),
    (["A, 40 GiB", "B, 80 GiB"], True, "13.0", "A, 40 GiB, B, 80 GiB", False),
    ([], True, None, "without CUDA", True),
    ([], True, "13.0", "sees no GPU", True),
]


@pytest.mark.parametrize(("gpus", "driver", "build", "detail", "is_problem"), DEVICES)
def test_check_device_reports_unused_gpus(
    gpus: list[str], driver: bool, build: str | None, detail: str, is_problem: bool
) -> None:
    check = doctor.check_device(gpus, driver, build)
    assert detail in check.detail
    assert (check.fix is not None) == is_problem


OTHER_CHECKS = [
    (doctor.check_threads(1, 1), None),
    (doctor.check_threads(2, 16), None),
    (doctor.check_threads(64, 2), "export OMP_NUM_THREADS=2"),
    (doctor.check_folder("folder", "/x", None, "move"), None),
    (doctor.check_folder("folder", "/x", "Permission denied", "move"), "move"),
    (doctor.check_disk_space("disk", "/x", 0, GIB, "free"), "free"),
    (doctor.check_disk_space("disk", "/x", GIB, GIB, "free"), None),
]


@pytest.mark.parametrize(("check", "fix"), OTHER_CHECKS)
def test_check_threads_folder_and_disk_space_states_the_fix(check: Check, fix: str | None) -> None:
    assert check.fix == fix


GOOD, BAD = Check("a", "1.0"), Check("b", "gone", "get it")


@pytest.mark.parametrize(
    ("checks", "line"),
    [
        ([], "ready"),
        ([GOOD], "ready"),
        ([GOOD, BAD], "1 problem: b"),
        ([BAD, GOOD, BAD], "2 problems: b, b"),
    ],
)
def test_summary_line_counts_and_names_failed_checks(checks: list[Check], line: str) -> None:
    assert doctor.summary_line(checks) == line


def test_check_prints_one_line() -> None:
    assert str(GOOD) == "ok      a: 1.0"
    assert str(BAD) == "problem b: gone; fix: get it"


def test_min_versions_equal_those_in_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    dependencies = [text.split(",")[0].split(">=") for text in project["dependencies"]]
    assert {name: version for name, version in dependencies if name in MIN_VERSIONS} == MIN_VERSIONS
