"""Part 6: milliseconds of a detection, beside torchvision's; the same boxes; flips in bf16."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple
from functools import partial

import torch

from detect.bench.inference import agreement, make_predictor, torchvision_detections
from detect.bench.stage_times import STAGES, time_stages
from detect.bench.timing import time_interleaved, timed
from detect.bench.torchvision_peer import to_torchvision_images, torchvision_reference
from detect.config.builders.detector import with_tta
from detect.config.files import with_overrides
from detect.models.tta import weighted_box_fusion
from detect.ops.nms import nms
from tools.cuda_checks.inputs import (
    TOLERANCE_PX,
    bench_model,
    drawn_files,
    exact_float32,
    make_batch,
    random_images,
)
from tools.cuda_checks.operations import largest_difference, random_boxes
from tools.cuda_checks.records import Observation, Setup


def times(setup: Setup) -> Iterator[Observation]:
    """Time batches of one image and of eight in each precision, and torchvision's in fp32."""
    model = bench_model(setup)
    reference = torchvision_reference(model).eval().to(setup.compute().device)
    for count in (1, 2) if setup.small else (1, 8):
        images, variants = random_images(count), {}
        batch = make_batch(model.preprocess, images, len(model.classes)).images
        for precision in setup.precisions:
            predictor = make_predictor(model, precision, setup.device)
            on_device = batch.to(predictor.compute.device)

            def detect(predictor=predictor, on_device=on_device):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
                with torch.inference_mode(), predictor.compute.autocast():
                    return predictor.base_detector.detect(on_device)

            variants[f"detect, {precision}"] = timed(detect)
        pixels = [image.to(setup.compute().device) for image in to_torchvision_images(images)]
        variants["torchvision, fp32"] = timed(torch.inference_mode()(partial(reference, pixels)))
        for name, timing in time_interleaved(variants, 2 if setup.small else 15).items():
            milliseconds = 1000 * timing.median
            text = f"{name}, {count} images: {milliseconds:.1f} ms, {milliseconds / count:.1f} an image"
            yield Observation(text, numbers={"name": name, "images": count, "ms": milliseconds})


def stages(setup: Setup) -> Iterator[Observation]:
    """Time each stage of a detection, decoding included."""
    model, files = bench_model(setup), drawn_files(setup, 8)
    for precision in setup.precisions:
        measured = time_stages(make_predictor(model, precision, setup.device), files)
        milliseconds = {name: 1000 * seconds for name, seconds in zip(STAGES, astuple(measured), strict=True)}
        text = ", ".join(f"{name} {stage:.1f}" for name, stage in milliseconds.items())
        yield Observation(f"{precision}, ms: {text}", numbers={"precision": precision, **milliseconds})


def agreements(setup: Setup) -> Iterator[Observation]:
    """Compare detections on the device with torchvision's there, and with ours on the CPU, in exact float32."""
    model, images = bench_model(setup), random_images(2 if setup.small else 4)
    reference = torchvision_reference(model).eval().to(setup.compute().device)
    ours, cpu = make_predictor(model, "fp32", setup.device), make_predictor(model, "fp32")
    with exact_float32():
        on_device = [ours.predict(image, 0.0) for image in images]
        theirs = [torchvision_detections(reference, image) for image in images]
    for name, expected in (("torchvision's", theirs), ("ours on the CPU", [cpu.predict(i, 0.0) for i in images])):
        share = agreement(expected, on_device) or 0.0
        text = f"{share:.2%} of {name} are among ours on the device within {TOLERANCE_PX} pixels"
        yield Observation(text, share > 0.95, {"name": name, "share": share})


def flips(setup: Setup) -> Iterator[Observation]:
    """Fuse the same boxes in every precision: not further than 0.05 pixels apart. Then detect with flips."""
    device = setup.compute().device
    boxes, generator = random_boxes(400, 9) + 500, torch.Generator().manual_seed(9)
    boxes = torch.cat([boxes, boxes + torch.rand(400, 4, generator=generator)]).to(device)
    scores, labels = torch.rand(800, generator=generator).to(device), (torch.arange(800) % 3 + 1).to(device)
    keep, views = nms(boxes, scores, 0.5, labels), torch.arange(2, device=device).repeat_interleave(400)
    expected, _ = weighted_box_fusion(boxes.double(), scores.double(), labels, views, keep, 2, 0.55)
    for precision in setup.precisions:
        with setup.compute(precision).autocast():
            fused, _ = weighted_box_fusion(boxes, scores, labels, views, keep, 2, 0.55)
        difference = largest_difference(expected, fused)
        text = f"{precision}: fused boxes near 900 pixels differ by {difference:.1e} pixels from those of float64"
        yield Observation(text, difference < TOLERANCE_PX, {"precision": precision, "pixels": difference})
    model, images = bench_model(setup), random_images(1)
    config = with_overrides(model.config, ["model.test_time.flip=true"])
    for precision in setup.precisions:
        predictor = make_predictor(model, precision, setup.device)
        predictor.detector = with_tta(config, predictor.base_detector).eval()
        detections = predictor.predict(images[0], 0.0)
        yield Observation(
            f"{precision}: {len(detections)} detections with flips", bool(detections.boxes.isfinite().all())
        )
