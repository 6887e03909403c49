"""Parts 10 and 11: NCCL, several processes on one card, and the tests that need a GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import cast

import torch
from torch import distributed, nn

from detect.config.files import to_yaml
from detect.system.distributed import ProcessGroup
from detect.training.backward import SharedBackward, SingleBackward
from detect.training.setup import build_train_state
from tools.cuda_checks.inputs import bench_model, make_batch, random_images, shapes_config
from tools.cuda_checks.records import Observation, Setup

ROOT = Path(__file__).resolve().parents[2]
LOCAL = {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "2"}  # no network is needed


def group_of_one(setup: Setup) -> Iterator[Observation]:
    """Start NCCL beside gloo for one process, and use what a training uses of them."""
    os.environ.update(LOCAL)
    device, file = setup.compute().device, setup.work / "rendezvous"
    backend = "cpu:gloo,cuda:nccl" if setup.device == "cuda" else "gloo"
    distributed.init_process_group(backend, init_method=f"file://{file}", rank=0, world_size=1)
    try:
        numbers = torch.arange(4.0, device=device)
        distributed.all_reduce(numbers)
        yield Observation(f"all_reduce by {backend}: {numbers.tolist()}", numbers.tolist() == [0.0, 1.0, 2.0, 3.0])
        objects = cast(distributed.ProcessGroup, distributed.new_group(backend="gloo"))
        gathered: list[dict[str, int] | None] = [None]
        distributed.all_gather_object(gathered, {"a": 1}, group=objects)
        yield Observation(f"all_gather_object by gloo: {gathered}", gathered == [{"a": 1}])
        yield _gradients_by_ddp(setup)
        if setup.device == "cuda":
            norm, pixels = nn.SyncBatchNorm(4).to(device), torch.randn(2, 4, 8, 8, device=device, requires_grad=True)
            normalized = norm(pixels)
            normalized.square().sum().backward()
            plain = nn.functional.batch_norm(pixels, None, None, norm.weight, norm.bias, training=True)
            difference = float((plain - normalized).abs().max())
            yield Observation(f"SyncBatchNorm differs from batch_norm by {difference:.1e}", difference < 1e-5)
    finally:
        distributed.destroy_process_group()


def _gradients_by_ddp(setup: Setup) -> Observation:
    """Compare gradients that DDP sums over this group of one process with those of a process without DDP."""
    model, compute = bench_model(setup), setup.compute()
    batch = make_batch(model.preprocess, random_images(2), len(model.classes))
    gradients = []
    for make_backward in (SingleBackward, partial(SharedBackward, group=ProcessGroup())):
        state = build_train_state(model.config, model.detector().to(compute.device).train())
        make_backward(state, accumulate=1, compute=compute)(batch, 0, is_last=True)
        gradients.append([parameter.grad for parameter in state.detector.parameters() if parameter.grad is not None])
    scale = max(float(gradient.abs().max()) for gradient in gradients[0])
    difference = max(float((a - b).abs().max()) for a, b in zip(*gradients, strict=True)) / scale
    return Observation(f"gradients by DDP differ by {difference:.1e} of the largest", difference < 1e-4)


def two_processes_on_one_card(setup: Setup) -> Iterator[Observation]:
    """Start two processes: refused where there is a card for one of them only."""
    cards = torch.cuda.device_count() if setup.device == "cuda" else 0
    if cards != 1:
        yield Observation(f"two processes on one card: {cards} cards here")
        return
    status, text = _torchrun(setup, "cuda")
    lines = [line for line in text.splitlines() if "--nproc-per-node" in line]
    yield Observation(f"exit status {status}: {' '.join(lines)[:300] or text[-800:]}", status != 0 and bool(lines))


def two_processes_on_cpus(setup: Setup) -> Iterator[Observation]:
    """Train with two processes on CPUs, also where there is a card for one of them only."""
    status, text = _torchrun(setup, "cpu")
    yield Observation(f"exit status {status}: {text.strip()[-800:] if status else 'trained'}", status == 0)


def _torchrun(setup: Setup, device: str) -> tuple[int, str]:
    """Train two steps in two processes; return the exit status and what they printed."""
    file = setup.work / f"processes-{device}.yaml"
    changes = [f"device={device}", "train.steps=2", "train.batch_size=2", "data.min_size=64", "data.max_size=96"]
    file.write_text(to_yaml(shapes_config(setup, changes=changes)), encoding="utf-8")
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "detect"]
    command = [sys.executable, "-m", *launcher, "train", "--config", str(file)]
    done = subprocess.run(
        [*command, "--out", str(setup.work / f"processes-{device}")],
        capture_output=True, text=True, timeout=400 if setup.small else 40, check=False, env=os.environ | LOCAL,
        cwd=ROOT,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def pytest_of_the_gpu(setup: Setup) -> Iterator[Observation]:
    """Run tests/gpu."""
    options = ["-o", "addopts=", "-W", "default", "-p", "no:cacheprovider", "-rfEs", "-q"]
    asked = "1" if setup.device == "cuda" else "0"
    # Plugins that happen to be installed may warn, which would fail tests.
    environment = os.environ | {"DETECT_TEST_GPU": asked, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-m", "pytest", *options, "--tb=short", str(ROOT / "tests" / "gpu")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT)
    lines = (done.stdout + done.stderr).strip().splitlines()
    for line in lines[-40:] if done.returncode else lines[-3:]:
        yield Observation(line)
    yield Observation(f"exit status {done.returncode}", done.returncode == 0)
