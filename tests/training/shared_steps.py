"""Train configurations by one process and by two that share its batches, and print how much their weights differ.

The output is a line of JSON: for each configuration ``Difference``.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import cycle
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from detect.config import Config
from detect.config.builders.adversary import build_adversary
from detect.config.files import with_overrides
from detect.data.loading.collate import Batch
from detect.system.distributed import SINGLE_PROCESS, ProcessGroup, init_process_group
from detect.training.loop import Callbacks, train_loop
from detect.training.precision import compute_config
from detect.training.setup import build_schedule, build_train_state, loop_config
from tests.emulation.configurations import MERGED, configured, make_batch, random_detector

Element = TypeVar("Element")
Weights = dict[str, Tensor]

STEPS = 3
NUM_IMAGES = (2, 3, 1)  # of the batches in turn: the second process has an image without objects, one with some, none
STAGE = ["model.backbone.norm=group", "train.optimizer=sgd", "train.lr=1e-2",
         "train.weight_decay=0.1", "train.warmup=0", "train.schedule=constant"]  # fmt: skip
# Which cells have the highest logits may hang on rounding where they are nearly equal; here all are candidates.
ADVERSARY = ["train.recipe=adversarial", "model.adversary.type=both", "model.adversary.channels=8",
             "model.adversary.candidates=1"]  # fmt: skip
CASES: dict[str, tuple[str, list[str]]] = {
    "joint": (MERGED, STAGE),
    "joint, two batches a step": (MERGED, [*STAGE, "train.accumulate=2", "train.clip_grad_norm=1"]),
    "joint, masks": ("mask_rcnn.yaml", STAGE),
    "joint, cascade": ("cascade_rcnn.yaml", STAGE),
    "alternating, RPN": (MERGED, [*STAGE, "train.trainable=[backbone, proposer]"]),
    "alternating, detector": ("fast_rcnn.yaml", STAGE),
    "alternating, RPN on a frozen backbone": (MERGED, [*STAGE, "train.trainable=[proposer]"]),
    "alternating, head": ("fast_rcnn.yaml", [*STAGE, "train.trainable=[head]"]),
    "rcnn": ("rcnn.yaml", [*STAGE, "model.classifier=softmax", "train.ema_decay=0"]),
    "adversarial, adversary": (MERGED, [*STAGE, *ADVERSARY, "train.trainable=[adversary]", "train.ema_decay=0"]),
    "adversarial, joint": (MERGED, [*STAGE, *ADVERSARY]),
}


@dataclass(frozen=True)
class Difference:
    """The largest difference of a weight of the two trainings, and of one of them from its initial weights.

    moved: names of weights that only one of the trainings has left as they were.
    """

    weights: float
    change: float
    moved: list[str]


def settings(case: str) -> Config:
    """Return the settings of a case, on the CPU."""
    file, changes = CASES[case]
    return with_overrides(configured(file, ["device=cpu"]), changes)


def trained(case: str, group: ProcessGroup) -> tuple[Weights, Weights]:
    """Train by the processes of a group; return the weights before and after."""
    config = settings(case)
    detector = random_detector(config)
    torch.manual_seed(0)
    state = build_train_state(config, detector, build_adversary(config))
    whole = [make_batch(config, count) for count in NUM_IMAGES]
    shares = [_share(batch, group) for batch in whole]
    before = _weights(state.modules)
    loop = replace(loop_config(config, 1), steps=STEPS, log_every=99, checkpoint_every=99, validate_at=frozenset[int]())
    train_loop(state, _endless(shares), build_schedule(config, STEPS), loop, compute_config(config), _IGNORE, group)
    return before, _weights(state.modules)


def _ignore(_: object) -> None:
    pass


_IGNORE = Callbacks(
    log=_ignore,
    validate=lambda: False,
    save=lambda: None,
    on_batch=lambda _, __: None,
    on_unreadable=_ignore,
    on_other_sizes=_ignore,
    on_non_finite=lambda _: "",
)


def _endless(batches: Sequence[Batch]) -> Iterator[Batch]:
    return cycle(batches)


def _weights(modules: Sequence[torch.nn.Module]) -> Weights:
    return {
        f"{index}.{name}": tensor.detach().clone()
        for index, module in enumerate(modules)
        for name, tensor in module.named_parameters()
    }


def _share(batch: Batch, group: ProcessGroup) -> Batch:
    """Return every ``size``-th image of a batch."""

    def deal(elements: Sequence[Element]) -> tuple[Element, ...]:
        return tuple(group.shard(elements))

    images = batch.images
    return replace(
        batch,
        images=replace(
            images,
            pixels=images.pixels[group.rank :: group.size],
            sizes=deal(images.sizes),
            seeds=deal(images.seeds),
            proposals=None if images.proposals is None else deal(images.proposals),
        ),
        targets=deal(batch.targets),
        original_sizes=deal(batch.original_sizes),
        image_ids=deal(batch.image_ids),
        files=deal(batch.files),
        indices=deal(batch.indices),
    )


def _compare(alone: tuple[Weights, Weights], shared: tuple[Weights, Weights]) -> Difference:
    (before, after), (_, others) = alone, shared
    return Difference(
        weights=max(float((after[name] - others[name]).abs().max()) for name in before),
        change=max(float((after[name] - before[name]).abs().max()) for name in before),
        moved=[n for n in before if torch.equal(before[n], after[n]) != torch.equal(before[n], others[n])],
    )


def _run(folder: Path, rank: int | None, port: int, cases: Sequence[str]) -> None:
    """Train all cases alone, or as process ``rank`` of two, and save the weights."""
    torch.set_num_threads(1)
    if rank is None:
        torch.save({case: trained(case, SINGLE_PROCESS) for case in cases}, folder / "alone.pt")
        return
    variables = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_PORT": port}
    os.environ.update({name: str(number) for name, number in variables.items()}, MASTER_ADDR="127.0.0.1")
    with init_process_group("cpu") as group:
        weights = {case: trained(case, group) for case in cases}
    torch.save(weights, folder / f"shared-{rank}.pt")


def main(folder: Path, cases: Sequence[str]) -> None:
    """Train in three forks of this process, which has used no thread of torch, and print the differences."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = int(listening.getsockname()[1])
    children = []
    for rank in (None, 0, 1):
        child = os.fork()
        if child == 0:
            _run(folder, rank, port, cases)
            sys.stdout.flush()
            os._exit(0)
        children.append(child)
    statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert statuses == [0, 0, 0], statuses
    alone, *shared = (torch.load(folder / f"{name}.pt") for name in ("alone", "shared-0", "shared-1"))
    for case in cases:
        assert all(torch.equal(shared[0][case][1][name], tensor) for name, tensor in shared[1][case][1].items()), case
    print(json.dumps({case: asdict(_compare(alone[case], shared[0][case])) for case in cases}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or list(CASES))
