from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import detect
from detect.cli.main import run
from detect.data.annotations import Annotations, ImageAnnotation
from detect.data.images import read_image
from detect.draw import save_image
from detect.errors import UserError
from detect.inference.prediction_journal import BatchResult, PredictionJournal
from tests.conftest import TINY, Command

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def config_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("config") / "tiny.yaml"
    file.write_text(yaml.safe_dump(TINY), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def trained(config_file: Path, shapes_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from detect.config.files import load_config

    out = tmp_path_factory.mktemp("trained") / "run"
    detect.train(load_config(config_file, [f"data.root={shapes_root}", "train.steps=2"]), out)
    return out


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "inner").mkdir(parents=True)
    for name, size in (("a.png", (90, 120, 3)), ("inner/b.jpg", (200, 140, 3))):
        cv2.imwrite(str(folder / name), np.random.default_rng(0).integers(0, 255, size, np.uint8))
    return folder


def test_predict_writes_json_and_images(trained: Path, images: Path, tmp_path: Path, detect_command: Command) -> None:
    status, out, err = detect_command("predict", trained, images, "--out", tmp_path / "out", "--score", 0)
    assert (status, err) == (0, "")
    assert "2 images" in out
    records = json.loads((tmp_path / "out" / "predictions.json").read_text(encoding="utf-8"))
    assert [(Path(image["file"]).name, image["width"], image["height"]) for image in records] == [
        ("a.png", 120, 90),
        ("b.jpg", 140, 200),
    ]
    for image in records:
        scores = [detection["score"] for detection in image["detections"]]
        assert scores == sorted(scores, reverse=True)
        for x1, y1, x2, y2 in (detection["box"] for detection in image["detections"]):
            assert 0 <= x1 < x2 <= image["width"]
            assert 0 <= y1 < y2 <= image["height"]
    drawn = sorted(file.relative_to(tmp_path / "out").as_posix() for file in (tmp_path / "out").rglob("*.jpg"))
    assert drawn == ["images/a.png.jpg", "images/inner/b.jpg.jpg"]


def test_predict_writes_every_format(trained: Path, images: Path, tmp_path: Path, detect_command: Command) -> None:
    flags = [part for name in ("json", "csv", "coco", "voc", "yolo", "yolo-labels") for part in ("--format", name)]
    status, _, err = detect_command("predict", trained, images, "--out", tmp_path / "out", "--score", 0, *flags)
    assert (status, err) == (0, "")
    written = {file.relative_to(tmp_path / "out").as_posix() for file in (tmp_path / "out").rglob("*.*")}
    names = {f"voc/comp4_det_{name}.txt" for name in detect.load(trained).classes}
    files = {"predictions.json", "predictions.csv", "coco_results.json", "coco_images.json", "yolo/a.txt", "yolo/b.txt"}
    files |= {"yolo/data.yaml", "yolo-labels/data.yaml", "yolo-labels/labels/a.txt", "yolo-labels/labels/inner/b.txt"}
    assert written == names | files | {"yolo-labels/images/a.png", "yolo-labels/images/inner/b.jpg"}


@pytest.mark.parametrize("batches_done", [1, *(pytest.param(done, marks=pytest.mark.slow) for done in (0, 2))])
def test_predict_resumed_after_a_kill_writes_the_same_files(
    batches_done: int,
    trained: Path,
    images: Path,
    tmp_path: Path,
    detect_command: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cv2.imwrite(str(images / "c.png"), np.full((90, 120, 3), 90, np.uint8))
    arguments = ["predict", trained, images, "--score", 0, "--batch-size", 1]
    assert detect_command(*arguments, "--out", tmp_path / "uninterrupted")[0] == 0
    add = PredictionJournal.add
    added: list[BatchResult] = []

    def add_or_die(self: PredictionJournal, result: BatchResult) -> None:
        if len(added) == batches_done:
            raise ZeroDivisionError
        added.append(result)
        add(self, result)

    with monkeypatch.context() as patched:
        patched.setattr(PredictionJournal, "add", add_or_die)
        patched.setattr(sys, "argv", [*map(str, ["detect", *arguments, "--out", tmp_path / "interrupted"])])
        with pytest.raises(ZeroDivisionError):
            run()
    with (tmp_path / "interrupted" / ".finished.jsonl").open("a", encoding="utf-8") as stream:
        stream.write("[[7], [{")  # a truncated line
    assert detect_command(*arguments, "--out", tmp_path / "interrupted")[0] == 0
    files = [
        sorted(file for file in (tmp_path / name).rglob("*") if file.is_file())
        for name in ("uninterrupted", "interrupted")
    ]
    assert [file.relative_to(tmp_path / "uninterrupted") for file in files[0]] == [
        file.relative_to(tmp_path / "interrupted") for file in files[1]
    ]
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(*files, strict=True))


def test_predict_skips_an_unreadable_image_and_exits_with_1(
    trained: Path, images: Path, tmp_path: Path, detect_command: Command
) -> None:
    (images / "c.jpg").write_text("text", encoding="utf-8")
    status, _, err = detect_command("predict", trained, images, "--out", tmp_path / "out", "--format", "json")
    assert status == 1
    assert "c.jpg" in err
    assert "1 of 3 images" in err
    assert len(json.loads((tmp_path / "out" / "predictions.json").read_text(encoding="utf-8"))) == 2


def test_predict_of_a_mixed_folder_counts_what_is_passed_over(
    trained: Path, images: Path, tmp_path: Path, detect_command: Command
) -> None:
    for name in ("clip.mp4", "notes.txt", "more.TXT"):
        (images / name).write_text("text", encoding="utf-8")
    (images / "linked").symlink_to(tmp_path)
    status, out, err = detect_command("predict", trained, images, "--out", tmp_path / "out", "--format", "json")
    assert (status, err) == (0, "")
    first, second, *of_images, summary = out.splitlines()
    assert [line.split(": ")[0] for line in of_images] == [str(images / name) for name in ("a.png", "inner/b.jpg")]
    assert first.startswith(
        "passed over: 2 .txt, 1 .mp4 (a video, which `detect predict` reads where it is named alone: "
    )
    assert second.startswith("passed over: 1 linked folders")
    assert "in 2 images" in summary


def test_predict_prints_a_line_for_each_of_few_images_whatever_their_names(
    trained: Path, images: Path, tmp_path: Path, detect_command: Command
) -> None:
    (images / "line\nbreak.png").write_bytes((images / "a.png").read_bytes())
    status, out, err = detect_command("predict", trained, images, "--out", tmp_path / "o", "--score", 1)
    assert (status, err) == (0, "")
    assert {line for line in out.splitlines() if line.endswith(": nothing")} == {
        f"{images}/{name}: nothing" for name in ("a.png", "inner/b.jpg", "line break.png")
    }
    for number in range(10):
        (images / f"{number}.png").write_bytes((images / "a.png").read_bytes())
    status, out, _ = detect_command("predict", trained, images, "--out", tmp_path / "o", "--score", 1)
    assert (status, out.count(": nothing")) == (0, 0)
    assert out.startswith("0 detections that score 1 or more in 13 images, in ")


def test_predict_counts_images_of_several_frames(
    trained: Path, images: Path, tmp_path: Path, detect_command: Command
) -> None:
    stack, page = images / "stack.tif", Image.open(images / "a.png")
    page.save(stack, save_all=True, append_images=[page, page])
    status, out, err = detect_command("predict", trained, images, "--out", tmp_path / "o", "--format", "csv")
    assert (status, err) == (0, "")
    assert out.splitlines()[-1] == (
        f"1 image has several frames, of which only the first is read (as {stack}): save each frame as an image"
    )


@pytest.mark.slow
def test_predict_writes_and_resumes_an_image_with_a_long_name(
    trained: Path, images: Path, tmp_path: Path, detect_command: Command
) -> None:
    for name in ("y" * 251, "y" * 250 + "z"):
        (images / f"{name}.png").write_bytes((images / "a.png").read_bytes())
    for _ in range(2):
        status, out, err = detect_command("predict", trained, images, "--out", tmp_path / "out", "--format", "images")
        assert (status, err) == (0, "")
        assert "2 names of drawings are shortened" in out
        drawn = [file.name for file in (tmp_path / "out" / "images").iterdir() if file.is_file()]
        assert sorted(map(len, drawn)) == [9, 255, 255]
    assert detect_command("predict", trained, images, "--out", tmp_path / "out", "--format", "yolo")[0] == 0
    assert len(list((tmp_path / "out" / "yolo").rglob("*.txt"))) == 4


def test_eval_saves_detections_and_score(trained: Path, tmp_path: Path, detect_command: Command) -> None:
    status, out, err = detect_command(
        "eval", trained, "--save", tmp_path / "dt.json", "--json", tmp_path / "score.json", "--metric", "coco"
    )
    assert (status, err) == (0, "")
    assert "AP50" in out
    score = json.loads((tmp_path / "score.json").read_text(encoding="utf-8"))
    assert score["metric"] == "coco"
    assert set(score["per_class"]) == set(detect.load(trained).classes)
    assert score["images"] == len(json.loads((tmp_path / "dt.json").read_text(encoding="utf-8"))) == 4


def test_python_interface_predicts_from_path_and_array_equally(trained: Path, images: Path) -> None:
    detector = detect.load(trained, device="cpu")
    rgb = read_image(images / "a.png")
    of_path, of_array = detector.predict(images / "a.png", score=0.0), detector.predict([rgb, rgb], score=0.0)
    assert len(of_array) == 2
    assert torch.equal(of_path.boxes, of_array[0].boxes)
    assert len(of_path.names()) == len(of_path) > 0
    assert detect.evaluate(detector).images == 4


def test_evaluate_matches_the_classes_of_annotations_by_name(trained: Path, images: Path) -> None:
    detector = detect.load(trained, device="cpu")
    best = detector.predict(images / "a.png", score=0.0)
    name, no = best.names()[0], np.zeros(1, bool)

    def annotations(classes: tuple[str, ...]) -> Annotations:
        """The best detection as an object, with the label that its class has among ``classes``."""
        image = ImageAnnotation(
            file=str(images / "a.png"),
            image_id=1,
            size=best.size,
            boxes=best.boxes[:1].double().numpy(),
            labels=np.array([classes.index(name) + 1]),
            difficult=no,
            crowd=no,
            areas=np.ones(1),
        )
        return Annotations.from_images([image], classes)

    for classes in (detector.classes, detector.classes[::-1], (name,), ("zebra", name)):
        assert detect.evaluate(detector, annotations(classes), "voc12").primary == 1.0
    other = replace(annotations((name,)), classes=("zebra",))
    with pytest.raises(UserError, match=r'a\.png: expected objects of \d+ classes, found "zebra"'):
        detect.evaluate(detector, other)


def labelled_photos(folder: Path, broken: int, size: tuple[int, int]) -> Annotations:
    """Three photos (60, 80) whose labels state ``size``, the last ``broken`` of them cut off, and one disc in each."""
    boxes, no, images = np.array([[10.0, 10.0, 40.0, 30.0]]), np.zeros(1, bool), []
    for index in range(3):
        file = folder / f"{index}.png"
        save_image(file, np.full((60, 80, 3), 60 * index, np.uint8))
        file.write_bytes(file.read_bytes()[: 40 if index >= 3 - broken else None])
        images.append(ImageAnnotation(str(file), index + 1, size, boxes, np.array([1]), no, no, np.ones(1)))
    return Annotations.from_images(images, ("disc",))


@pytest.mark.parametrize(("size", "count"), [((60, 80), 0), ((120, 160), 3)])
def test_evaluate_names_photos_of_another_size_than_labelled(
    size: tuple[int, int], count: int, trained: Path, tmp_path: Path
) -> None:
    score = detect.evaluate(trained, labelled_photos(tmp_path, 0, size))
    lines = tuple(f"{tmp_path}/{index}.png: 80 x 60, and 160 x 120 in its labels" for index in range(count))
    assert score.other_sizes == lines
    assert score.to_dict().get("other_sizes", []) == list(lines)


@pytest.mark.parametrize(("broken", "first"), [(1, "2.png"), (3, "0.png")])
def test_evaluate_refuses_photos_that_cannot_be_read(broken: int, first: str, trained: Path, tmp_path: Path) -> None:
    expected = rf"images that can be read, found {broken} of 3 images that cannot, the first {tmp_path}/{first}: "
    with pytest.raises(UserError, match=expected):
        detect.evaluate(trained, labelled_photos(tmp_path, broken, (60, 80)))


BAD_CONFIGS = [
    ({"trian": {}}, 'tiny.yaml: trian: unknown key (did you mean "train"?)'),
    ({"train": {"steps": 1, "lrr": 1}}, 'train.lrr: unknown key (did you mean "lr"?)'),
    ({"train": {"steps": "many"}}, "train.steps: expected a valid integer"),
    ({"model": {"backbone": {"name": "resnet81"}}}, '(did you mean "resnet18"?)'),
    ({"data": {"format": "voc", "root": "no/such"}}, "no/such: expected the folder data.root, found nothing"),
    ({"model": {"backbone": {"name": "small", "weights": "no.pth"}}}, "no.pth: expected a weights file, found nothing"),
]


@pytest.mark.parametrize(("settings", "message"), BAD_CONFIGS)
def test_train_with_a_wrong_configuration_prints_one_line_and_exits_with_2(
    settings: dict[str, object], message: str, shapes_root: Path, tmp_path: Path, detect_command: Command
) -> None:
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump({"train": {"steps": 1}} | settings), encoding="utf-8")
    overrides = [] if "data" in settings else ["--set", f"data.root={shapes_root}", "--set", "data.train_images=12"]
    status, _, err = detect_command("train", "--config", file, "--out", tmp_path / "run", *overrides)
    assert status == 2
    assert message in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "run").exists()


WRONG_USAGE = [
    (("trian",), 'no command trian (did you mean "train"?)'),
    (("train",), "expected one of --config FILE, --data ROOT, --resume RUN_DIR and --replay FILE"),
    (("train", "--confg", "x"), "--confg"),
    (("train", "--config", "no.yaml"), "no.yaml: expected a configuration file, found nothing"),
    (("train", "--config", "faster_rcnn", "--set", "novalue"), "--set novalue: expected KEY=VALUE"),
    (("train", "--resume", "{tmp}"), "expected a run folder with config.yaml, found none"),
    (("eval", "{tmp}"), "expected a run folder with best.pt or last.pt, found neither"),
    (("eval", "{tmp}/text.pt"), "text.pt: expected a checkpoint, found an unreadable file"),
    (("eval", "{tmp}/other.pt"), "other.pt: expected a detect checkpoint 2, found"),
    (("predict", "{run}", "nowhere", "--out", "{tmp}/o"), "nowhere: expected an image, a folder or a glob, found"),
    (("predict", "{run}", "{tmp}/empty", "--out", "{tmp}/o"), "empty: expected images"),
    (("predict", "{run}", "{tmp}/*.jpg", "--out", "{tmp}/o"), "expected a glob that matches images, found 0 matches"),
    (("predict", "{run}", "{tmp}/text.pt", "--out", "{tmp}/o", "--classes", "dics"), '(did you mean "disc"?)'),
    (("predict", "{run}", "{tmp}/text.pt", "--out", "{tmp}/o", "--classes", ""), 'found ""'),
    (
        ("predict", "{run}", "{tmp}/text.pt", "--out", "{tmp}/o", "--set", "model.head.fc_dim=3"),
        "--set: expected a network that the weights in",
    ),
    (("train", "--config", "faster_rcnn", "--out", "{run}"), "expected a new or empty folder for --out, found files"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG_USAGE, ids=lambda value: value[0] if value else None)
def test_wrong_usage_prints_one_line_and_exits_with_2(
    arguments: tuple[str, ...], message: str, trained: Path, shapes_root: Path, tmp_path: Path, detect_command: Command
) -> None:
    (tmp_path / "text.pt").write_text("text", encoding="utf-8")
    (tmp_path / "empty").mkdir()
    torch.save({"format": "mine"}, tmp_path / "other.pt")
    filled = [argument.format(tmp=tmp_path, run=trained) for argument in arguments]
    if "--out" in filled and arguments[0] == "train":
        filled += ["--set", f"data.root={shapes_root}", "--set", "data.train_images=12", "--set", "data.val_images=4"]
    status, _, err = detect_command(*filled)
    assert status == 2
    assert message in err
    assert len(err.splitlines()) == 1


def test_eval_refuses_data_with_unknown_classes(trained: Path, tmp_path: Path, detect_command: Command) -> None:
    annotations = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 9, "height": 9}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 7, "bbox": [1, 1, 5, 5], "area": 25, "iscrowd": 0}],
        "categories": [{"id": 7, "name": "dsic"}],
    }
    (tmp_path / "gt.json").write_text(json.dumps(annotations), encoding="utf-8")
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "a.jpg"), np.zeros((9, 9, 3), np.uint8))
    status, _, err = detect_command(
        "eval", trained, "--set", "data.format=coco", "--set", f"data.root={tmp_path}", "--set", "data.val=gt.json"
    )
    assert status == 2
    assert '"dsic" (did you mean "disc"?)' in err


SHARED_SETS = [
    pytest.param("bccd", ["data.format=voc"], marks=pytest.mark.slow),
    pytest.param(
        "coco_mini", ["data.format=coco", "data.train=instances.json", "data.val=0.2"], marks=pytest.mark.slow
    ),
]


@pytest.mark.parametrize(("name", "overrides"), SHARED_SETS)
def test_train_eval_predict_on_real_data_set(
    name: str, overrides: list[str], shared_data: Path, tmp_path: Path, detect_command: Command
) -> None:
    settings = [*overrides, f"data.root={shared_data / name}", "train.steps=2", "train.batch_size=2", "data.workers=0"]
    flags = [part for setting in settings for part in ("--set", setting)]
    status, out, err = detect_command("train", "--config", "faster_rcnn", *flags, "--out", tmp_path / "run")
    assert (status, err) == (0, "")
    if name == "bccd":
        assert "BloodImage_00338.xml" in out or "BloodImage_00343.xml" in out
    image = next((shared_data / name).rglob("*.jpg"))
    assert detect_command("eval", tmp_path / "run")[0] == 0
    assert detect_command("predict", tmp_path / "run", image, "--out", tmp_path / "out")[0] == 0


def test_help_imports_no_torch() -> None:
    code = (
        "import sys; from detect.cli.main import main; "
        "main(['--help'], standalone_mode=False); print('torch' in sys.modules)"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert process.stdout.splitlines()[-1] == "False"
    assert "predict" in process.stdout
