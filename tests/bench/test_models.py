"""MODELs of all kinds in one table, and the start of a process with each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from detect.bench import processes
from detect.bench.inference import measure_models
from detect.bench.model_files import files_of_runtimes, named_files
from detect.bench.processes import StartTimes, process_table, start_and_detect
from detect.bench.timing import ProcessRun
from detect.checkpoints.checkpoint import load_checkpoint
from tests.export.test_export_graph import PHOTOS, make_config, needs_runtimes, save_random_model


def run_here(function: Callable[..., object], *arguments: object) -> ProcessRun[object]:
    """In place of a new process."""
    return ProcessRun(function(*arguments), peak_memory=3 << 20)


@pytest.mark.parametrize(
    ("files", "names"),
    [
        ([], []),
        (["a.pt"], ["a.pt, fp32", "a.pt, bf16"]),
        (["b.onnx", "c.xml"], ["b.onnx, fp32", "c.xml, fp32", "c.xml, bf16"]),
    ],
)
def test_each_model_has_a_row_for_each_precision_that_it_computes_in(files: list[str], names: list[str]) -> None:
    assert [file.name for file in named_files(list(map(Path, files)), files)] == names


def test_a_process_detects_in_all_images_after_one_load() -> None:
    calls: list[str] = []

    def start() -> Callable[[Path], object]:
        calls.append("load")
        return lambda image: calls.append(image.name)

    times = start_and_detect(start, [Path("a"), Path("b")])
    assert calls == ["load", "a", "b"]
    assert min(times.load, times.first_image) >= 0


def test_processes_alternate_and_rows_have_medians(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []

    def run(_: object, start: str, __: Sequence[Path]) -> ProcessRun[StartTimes]:
        started.append(start)
        turn = float(started.count(start))
        return ProcessRun(StartTimes(load=turn, first_image=10 * turn), peak_memory=len(start) << 20)

    monkeypatch.setattr(processes, "run_in_process", run)
    table = process_table({"x": "a", "y": "bb"}, [Path("image")], "command")  # type: ignore[dict-item]
    assert started == ["a", "bb", "bb", "a", "a", "bb"]
    assert table.rows == (("x", 2.0, 20.0, 1.0, 1.0), ("y", 2.0, 20.0, 2.0, 2.0))


@needs_runtimes
@pytest.mark.slow
def test_all_runtimes_detect_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "run_in_process", run_here)
    checkpoint = load_checkpoint(save_random_model(make_config(), tmp_path / "model.pt"))
    with files_of_runtimes(checkpoint, PHOTOS) as files:
        names = [file.name for file in files]
        times, starts = measure_models(files, PHOTOS, 1, "command")
    assert names[:4] == ["detect, fp32", "detect, bf16", "onnxruntime, fp32", "OpenVINO, fp32"]
    assert names[-1] == "OpenVINO, int8"
    assert [row[0] for row in times.rows] == [row[0] for row in starts.rows] == names
    (note,) = times.notes
    shares = {name: float(share.rstrip("%")) for name, _, share in (part.rpartition(" ") for part in note.split("; "))}
    assert shares["onnxruntime, fp32"] >= 99
    assert shares["OpenVINO, fp32"] >= 99
    assert not files[0].file.exists()
