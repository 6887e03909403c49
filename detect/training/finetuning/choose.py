"""Fills the settings of ``train.auto`` that are not set: from the initial model, and from the training images."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any

from detect.config import Config
from detect.config.builders.anchors import build_anchor_config
from detect.config.builders.detector import build_preprocess
from detect.config.files import dotted_keys, merge_overrides, parse_config
from detect.config.merge import deep_merge
from detect.data.annotations import Annotations
from detect.system.cpu import available_cores
from detect.system.device import ComputeConfig
from detect.training.finetuning.choice import Choice
from detect.training.finetuning.initial import default_initial, read_initial, settings_of
from detect.training.finetuning.objects import ImageSizes, ObjectChoices, choose_for_objects
from detect.training.finetuning.schedule import DataSize, SetByUser, choose_schedule

_SOURCE = "train.auto"
_SIZE_KEYS = ("data.min_size", "data.max_size")
_ANCHOR_KEYS = ("model.rpn.anchor_sizes", "model.rpn.aspect_ratios")


@dataclass(frozen=True)
class ChosenConfig:
    """The complete settings of a run, with ``train.auto`` off, and a line for the log on each that was chosen."""

    config: Config
    lines: tuple[str, ...]


def choose_settings(config: Config, train: Annotations, num_objects: int, compute: ComputeConfig) -> ChosenConfig:
    """Return ``config`` with all that is not set taken from the initial model or chosen for the training images.

    num_objects: the objects in ``train``, each counted once in however many slices or repetitions it is, without
    crowds. What is set stays: by ``--set``, or by the configuration file. Raises UserError for an initial model that is
    not a Faster R-CNN.
    """
    on_gpu = compute.device.type != "cpu"
    start = _start_settings(config, on_gpu)
    keys = {key for key, _ in dotted_keys(start.set_by_user)}
    with_model = _fill(start, start.choices)
    for_objects = _choose_for_objects(with_model, train, keys)
    choices = [*start.choices, *for_objects.choices]
    size = DataSize(images=len(train), objects=num_objects)
    choices += choose_schedule(size, _set_by_user(config, keys), on_gpu)
    choices.append(_workers(on_gpu))
    chosen = [choice for choice in choices if choice.key not in keys and not _is_length_given(choice.key, keys)]
    model = with_model.model
    line = (
        f"model: {model.kind} with {model.backbone.name}, its layers and preprocessing as in {with_model.model.init}, "
        f"which knows {start.num_classes} classes"
    )
    return ChosenConfig(config=_fill(start, chosen), lines=(line, for_objects.line, *map(str, chosen)))


def fill_from_initial(config: Config, on_gpu: bool) -> Config:
    """Return ``config`` with all that is not set taken from the initial model, before any choice for the images.

    Raises UserError for an initial model that is not a Faster R-CNN.
    """
    start = _start_settings(config, on_gpu)
    return _fill(start, start.choices)


@dataclass(frozen=True)
class _StartSettings:
    """What is known before a choice for the images.

    set_by_user: nested settings; choices: the initial model, where none is set; from_model: nested settings that are
    taken from it; num_classes: of the initial model.
    """

    set_by_user: dict[str, Any]
    choices: list[Choice]
    from_model: dict[str, Any]
    num_classes: int


def _start_settings(config: Config, on_gpu: bool) -> _StartSettings:
    settings = config.model_dump(mode="json", exclude_unset=True)
    choices: list[Choice] = []
    if config.model.init is None:
        settings.get("model", {}).pop("init", None)  # a null that is set is none either
        choices.append(Choice("model.init", *default_initial(on_gpu)))
    initial = read_initial(config.model.init or str(choices[0].setting))
    return _StartSettings(
        set_by_user=settings,
        choices=choices,
        from_model=merge_overrides(settings_of(initial), [f"train.epochs={Config().train.epochs}"]),
        num_classes=len(initial.classes),
    )


def _set_by_user(config: Config, keys: Set[str]) -> SetByUser:
    """Return the settings that the choices of the schedule follow."""
    train = config.train
    return SetByUser(
        batch_size=train.batch_size if "train.batch_size" in keys else None,
        accumulate=train.accumulate,
        epochs=train.epochs,
        steps=train.steps,
        validates=train.validate_every is not None and not train.has_stages,
        needs_all_parts=train.recipe == "alternating",
    )


def _workers(on_gpu: bool) -> Choice:
    """Return the number of processes that load images."""
    if on_gpu:
        return Choice("data.workers", max(1, min(8, available_cores() - 1)), "they load while the GPU computes")
    return Choice("data.workers", 0, "on a CPU, loading would take cores from the training")


def _is_length_given(key: str, keys: Set[str]) -> bool:
    """Return whether ``key`` is the length in epochs, and that in steps is set."""
    return key == "train.epochs" and "train.steps" in keys


def _fill(start: _StartSettings, choices: Sequence[Choice]) -> Config:
    """Return the settings of the initial model, under those that are chosen, under those that are set."""
    filled = merge_overrides(start.from_model, [choice.override for choice in choices])
    return parse_config(deep_merge(deep_merge(filled, start.set_by_user), {"train": {"auto": False}}), _SOURCE)


def _choose_for_objects(config: Config, train: Annotations, keys: Set[str]) -> ObjectChoices:
    """Return other sizes of the images, and other anchors, if those of the model miss too many objects."""
    sizes = ImageSizes(preprocess=build_preprocess(config), min_sizes=config.data.min_sizes)
    is_free = keys.isdisjoint(_ANCHOR_KEYS)
    return choose_for_objects(
        train, sizes, build_anchor_config(config.model), is_free and keys.isdisjoint(_SIZE_KEYS), is_free
    )
