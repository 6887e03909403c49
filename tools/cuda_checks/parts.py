"""All parts in order, with their budgets: 8 minutes, which leaves one to start their processes and for part 11."""

from __future__ import annotations

from tools.cuda_checks import (
    detections,
    explanations,
    faults,
    machine,
    operations,
    processes,
    recipes,
    speed,
    trainings,
    waits,
)
from tools.cuda_checks.records import Part

PARTS = (
    Part(0, "The machine", 40, (machine.versions, machine.doctor)),
    Part(
        1,
        "Operations on CPU and GPU",
        25,
        (
            operations.exact_operations,
            operations.pooling,
            operations.gradients_of_the_rpn,
            operations.a_training_step,
            operations.many_boxes,
        ),
    ),
    Part(
        2,
        "Training of configs/faster_rcnn.yaml",
        70,
        (
            trainings.training_in_fp32,
            trainings.training_in_bf16,
            trainings.training_in_fp16,
            trainings.detections_of_both,
        ),
    ),
    Part(3, "Equal runs", 40, (trainings.twins, trainings.deterministic_with_bags, trainings.deterministic)),
    Part(4, "Waits of the host", 20, (waits.waits_of_two_images, waits.waits_of_eight_images)),
    Part(
        5,
        "Training steps of R50-FPN at 800 pixels",
        110,
        (speed.steps_of_two_images, speed.profile_of_a_step, speed.steps_of_one_image, speed.steps_of_eight_images),
    ),
    Part(
        6,
        "Detections of R50-FPN at 800 pixels",
        50,
        (detections.agreements, detections.flips, detections.times, detections.stages),
    ),
    Part(
        7,
        "Other generations and networks",
        50,
        (
            recipes.rcnn_with_svms,
            recipes.fast_rcnn,
            recipes.spatial_transformer,
            recipes.last_stage_in_the_head,
            recipes.alternating,
            recipes.rcnn_with_a_softmax,
            recipes.fast_rcnn_with_svms,
        ),
    ),
    Part(
        8,
        "Traces and explanations",
        40,
        (
            explanations.traces,
            explanations.bits_of_a_trace,
            explanations.methods_in_fp32,
            explanations.methods_in_bf16,
        ),
    ),
    Part(9, "Faults", 20, (faults.batch_without_images, faults.loss_scaler, faults.too_little_memory)),
    Part(
        10,
        "Processes",
        30,
        (processes.group_of_one, processes.two_processes_on_one_card, processes.two_processes_on_cpus),
    ),
    Part(11, "tests/gpu", 30, (processes.pytest_of_the_gpu,), takes_rest=True),
)
