from __future__ import annotations

import pytest

from detect.config import Config
from detect.config.train import TrainConfig
from detect.training.finetuning.choice import Setting
from detect.training.finetuning.schedule import MIN_STEPS, DataSize, SetByUser, choose_schedule
from detect.training.setup import loop_config

ALL, HEADS = ("backbone", "proposer", "head"), ("proposer", "head")


def choose(images: int, objects: int, *, on_gpu: bool = False, **given: int) -> dict[str, Setting]:
    """Return the chosen settings of ``train`` by name."""
    choices = choose_schedule(DataSize(images=images, objects=objects), SetByUser(**given), on_gpu)  # type: ignore[arg-type]
    return {choice.key.removeprefix("train."): choice.setting for choice in choices}


# images, objects -> batch size, epochs, learning rate, trainable, epochs between validations
SIZES = [
    (1, 0, (1, 132, 1e-4, HEADS, 27)),
    (1, 5000, (1, 132, 1e-4, ALL, 27)),
    (3, 4, (3, 80, 3e-4, HEADS, 16)),
    (20, 40, (4, 24, 4e-4, HEADS, 5)),
    (20, 100, (4, 24, 4e-4, ALL, 5)),
    (200, 900, (4, 6, 4e-4, ALL, 2)),
    (2000, 9000, (8, 3, 4e-4, ALL, 1)),
    (20000, 9000, (8, 3, 4e-4, ALL, 1)),
]


@pytest.mark.parametrize(("images", "objects", "chosen"), SIZES)
def test_schedule_follows_the_numbers_of_images_and_objects(
    images: int, objects: int, chosen: tuple[Setting, ...]
) -> None:
    schedule = choose(images, objects)
    assert schedule.pop("patience") == 3
    assert tuple(schedule[key] for key in ("batch_size", "epochs", "lr", "trainable", "validate_every")) == chosen


def test_more_images_never_make_fewer_steps() -> None:
    steps = []
    for images in range(4, 3000):
        schedule = choose(images, 1000, batch_size=4)
        steps.append(int(schedule["epochs"]) * -(-images // 4))  # type: ignore[arg-type]
    assert all(later >= 0.7 * max(steps[: index + 1]) for index, later in enumerate(steps))
    assert min(steps) >= 80


@pytest.mark.parametrize("accumulate", [1, 2, 3, 4])
@pytest.mark.parametrize("images", [4, 9, 10, 11, 30])
def test_the_steps_that_are_said_are_those_of_the_loop(images: int, accumulate: int) -> None:
    choices = choose_schedule(DataSize(images, 50), SetByUser(batch_size=4, accumulate=accumulate), on_gpu=False)
    (epochs,) = (choice for choice in choices if choice.key == "train.epochs")
    train = TrainConfig(batch_size=4, accumulate=accumulate, epochs=int(epochs.setting))  # type: ignore[arg-type]
    steps = loop_config(Config(train=train), -(-images // 4)).steps
    assert steps >= MIN_STEPS
    assert f"{images} images: {steps} steps" in epochs.reason


GIVEN: list[tuple[dict[str, int], dict[str, Setting | None]]] = [
    ({}, {"lr": 4e-4, "validate_every": 2}),
    ({"batch_size": 8}, {"lr": 4e-4, "epochs": 6}),
    ({"batch_size": 2, "accumulate": 4}, {"lr": 4e-4}),
    ({"batch_size": 64}, {"lr": 4e-4, "epochs": 20}),  # 4 steps an epoch
    ({"epochs": 30}, {"validate_every": 6}),
    ({"steps": 500}, {"validate_every": 2}),  # 10 epochs
    ({"steps": 1}, {"validate_every": 1}),
    ({"validates": False}, {"trainable": ALL, "validate_every": None, "patience": None}),
    ({"needs_all_parts": True}, {"trainable": None, "validate_every": 2, "patience": 3}),
]


@pytest.mark.parametrize(("given", "chosen"), GIVEN)
def test_choices_follow_what_is_set(given: dict[str, int], chosen: dict[str, Setting | None]) -> None:
    schedule = choose(200, 900, on_gpu=False, **given)
    assert {key: schedule.get(key) for key in chosen} == chosen  # None: not chosen


def test_a_gpu_computes_larger_batches() -> None:
    assert choose(200, 900, on_gpu=True)["batch_size"] == 8


def test_each_choice_says_its_setting_and_why() -> None:
    lines = [str(choice) for choice in choose_schedule(DataSize(images=20, objects=40), SetByUser(), on_gpu=False)]
    assert "chosen: train.batch_size=4 (under 400 images: more steps in the same time)" in lines
    assert 'chosen: train.trainable=["proposer", "head"] (40 objects: too few for the backbone)' in lines
    assert [line.count("\n") for line in lines] == [0] * 6
