"""The layers of the package. ``python -m tests.layers`` writes their table into CONTRIBUTING.md."""

from __future__ import annotations

from pathlib import Path

CONTRIBUTING = Path(__file__).resolve().parents[1] / "CONTRIBUTING.md"
BEGIN, END = "<!-- layers: begin (written by python -m tests.layers) -->", "<!-- layers: end -->"

# High to low: an entry imports only from lines below its own. The modules of a package may import each other; the
# entries of one line may not.
LAYERS: list[dict[str, str]] = [
    {"__main__": "`python -m detect`"},
    {"cli": "the command line: a file for each command"},
    {
        "bench": "measurements, compared with other libraries",
        "describe": "sentences and regions: which words belong to which box, the photo for a sentence, a sentence for "
        "a box; `formats/`: photos with sentences",
        "report": "a run as one HTML page",
        "serve": "a detector as an HTTP service with a page",
        "api": "`detect.load`, `detect.train`, `detect.evaluate`",
    },
    {"describe": "sentences and regions: `formats/`: photos with sentences"},
    {
        "explain": "`trace/`: how a detection came about; `attribution/`: which pixels made it; `network/`: what the "
        "network learned, its receptive fields, the table of its layers",
        "export": "a detector as a graph of ONNX or OpenVINO, compared with the model",
        "training": "the loop, the trainer, the run folder; `finetuning/`: the settings that `train.auto` chooses; "
        "`recipes/`: joint, alternating, R-CNN, adversarial, pretraining; "
        "`svm/`: R-CNN's SVMs and box regressors",
    },
    {
        "inference": "a trained detector in use: predictor, a pass over a data set, prediction, result files; "
        "`runtimes/`: graphs of ONNX and OpenVINO; `shards/`: any number of photos, as Parquet parts"
    },
    {
        "checkpoints": "a trained detector as a file: checkpoint, zoo, transfer, compression, torchvision, detectron2",
        "tracking": "which detections of the frames of a video are the same object",
    },
    {"config": "every setting with its sentence, YAML; `builders/`: the only place that knows settings and parts"},
    {
        "proposals": "selective search, proposal files and look-ups",
        "evaluation": "the rules of VOC and COCO, proposal recall; `analysis/`: error types, intervals, two runs",
    },
    {
        "models": "the detector and its slots: `backbones/`, `proposers/`, `regions/`, `heads/`, postprocess, "
        "test-time augmentation; `adversaries/`: what it is trained against; `graph/`: the detector as one function "
        "for other runtimes",
        "data": "images and their objects: `formats/`, `loading/`, `shapes/`, `inspect/`, `convert/`",
    },
    {
        "ops": "plain tensor functions without modules: boxes, NMS, RoI pooling, warping, anchors, matching, losses",
        "draw": "boxes and captions on images",
    },
    {"system": "files, checksums, YAML, device, processes, keyed randomness, progress, environment, doctor"},
    {
        "types": "the records that flow, and every convention",
        "errors": "the errors that users see",
        "version": "the version",
    },
]
HEIGHT = {entry: height for height, line in enumerate(reversed(LAYERS)) for entry in line}


def table() -> str:
    """The layers as a table in Markdown."""
    rows = ["| line | what |", "|---|---|"]
    for line in LAYERS:
        rows += [f"| `{name}{'' if _is_module(name) else '/'}` | {what} |" for name, what in line.items()]
        rows.append("| | |")
    return "\n".join(rows[:-1]) + "\n"


def with_table(text: str) -> str:
    """CONTRIBUTING's text with the table between its two marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}{END}{after}"


def _is_module(name: str) -> bool:
    return (CONTRIBUTING.parent / "detect" / f"{name}.py").exists()


if __name__ == "__main__":
    CONTRIBUTING.write_text(with_table(CONTRIBUTING.read_text(encoding="utf-8")), encoding="utf-8")
