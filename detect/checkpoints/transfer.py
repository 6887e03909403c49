"""Transfer a detector's weights to a detector of other classes: tensors that fit are copied, the others stay initial.

The last two layers, and that of a mask head, have rows for classes. A class that both detectors have keeps its rows; so
does the background, unless no class is shared: then the new layers have nothing in common with the old ones. Names are
compared by their letters and digits, without case: "Potted plant" is VOC's "pottedplant".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from detect.system.tensor_files import StateDict

# output layers of a head -> rows per class (deltas may have these for all), whether the background, first, has rows
OUTPUTS = {"logits": (1, True), "deltas": (4, False), "mask logits": (1, False)}
HEADS = ("head", "mask_head")


@dataclass(frozen=True)
class PartReport:
    """The number of loaded tensors of one part of a detector, and a note for each reason why others are not loaded."""

    part: str
    num_loaded: int
    total: int
    notes: tuple[str, ...]

    def __str__(self) -> str:
        amount = f"{self.num_loaded} of {self.total} tensors loaded" if self.num_loaded else "initialized"
        return "; ".join([f"{self.part}: {'loaded' if self.num_loaded == self.total else amount}", *self.notes])


@dataclass(frozen=True)
class Transfer:
    """The weights of a new detector.

    weights: its complete state dict; loaded: the names of the tensors that are loaded whole; parts: a report on each of
    its parts, in their order.
    """

    weights: dict[str, Tensor]
    loaded: frozenset[str]
    parts: tuple[PartReport, ...]


def transfer(initial: StateDict, source: StateDict, classes: Sequence[str], source_classes: Sequence[str]) -> Transfer:
    """Return ``initial``, the state of a new detector of ``classes``, with all of ``source`` that fits.

    A tensor fits if it has the same name and shape. The output layers read the vectors of the tail, so none of their
    rows is loaded unless the whole tail is; the same holds for the mask head alone.
    """
    outputs = {name for name in initial if _output_layer(name) in OUTPUTS}
    loaded = {
        name
        for name, tensor in initial.items()
        if name not in outputs and name in source and source[name].shape == tensor.shape
    }
    fitting = {
        name
        for head in HEADS
        for name in _fitting_outputs(head, outputs, loaded, initial, source, classes, source_classes)
    }
    same = matching_classes(classes, source_classes)
    shared = [name for name in classes if name in same]
    weights = {name: source[name] if name in loaded else tensor for name, tensor in initial.items()}
    if shared:
        indices = [source_classes.index(same[label]) if label in same else None for label in classes]
        for name in fitting:
            if _are_shared_deltas(name, (initial[name], source[name]), (classes, source_classes)):
                weights[name] = source[name].detach().clone().to(initial[name])
            else:
                weights[name] = _with_shared_rows(name, initial[name], source[name], indices)
        loaded |= fitting if len(shared) == len(classes) else set()
    reset_note = "output layers re-initialized: their tail is new or their shape differs"
    note = _output_note(classes, shared)
    parts = dict.fromkeys(map(_part, initial))
    return Transfer(
        weights=weights,
        loaded=frozenset(loaded),
        parts=tuple(
            _report(part, initial, source, loaded, outputs, note if part in map(_part, fitting) else reset_note)
            for part in parts
        ),
    )


def _part(name: str) -> str:
    """Return the part of the detector that a tensor belongs to."""
    return name.split(".")[0]


def _fitting_outputs(
    head: str,
    outputs: set[str],
    loaded: set[str],
    initial: StateDict,
    source: StateDict,
    classes: Sequence[str],
    source_classes: Sequence[str],
) -> set[str]:
    """Return the tensors of the output layers of ``head``, of HEADS, if their rows may be loaded; else none."""
    tensors = {name for name in initial if _part(name) == head}
    fits = tensors - outputs <= loaded and all(
        _has_class_rows(name, source, initial, classes, source_classes) for name in tensors & outputs
    )
    return tensors & outputs if fits else set()


def _output_layer(name: str) -> str:
    """Return the name of a tensor's layer within its head, of OUTPUTS; another text for other tensors.

    The stages of a cascade are head.0, head.1, ..., their mask heads mask_head.0, mask_head.1, ...
    """
    match = re.fullmatch(r"(mask_)?head\.(?:\d+\.)?(\w+)\.\w+", name)
    if match is None:
        return ""
    return f"mask {match[2]}" if match[1] else match[2]


def _are_shared_deltas(name: str, tensors: Sequence[Tensor], classes: Sequence[Sequence[str]]) -> bool:
    """Return whether the classes of both detectors share the rows of these tensors; a single class is no sign of it."""
    num_rows, _ = OUTPUTS["deltas"]
    is_certain = max(map(len, classes)) > 1
    return _output_layer(name) == "deltas" and is_certain and all(len(tensor) == num_rows for tensor in tensors)


def _has_class_rows(
    name: str, source: StateDict, initial: StateDict, classes: Sequence[str], source_classes: Sequence[str]
) -> bool:
    """Return whether the tensor of ``source`` is an output layer of its classes that reads vectors of our length.

    Both tensors have rows for each class, or both the same ones for all.
    """
    if name not in source or source[name].shape[1:] != initial[name].shape[1:]:
        return False
    tensors, class_lists = (initial[name], source[name]), (classes, source_classes)
    rows_per_class, has_background = OUTPUTS[_output_layer(name)]
    return _are_shared_deltas(name, tensors, class_lists) or all(
        len(tensor) == rows_per_class * (len(names) + has_background)
        for tensor, names in zip(tensors, class_lists, strict=True)
    )


def matching_classes(classes: Sequence[str], source_classes: Sequence[str]) -> dict[str, str]:
    """Return the name among ``source_classes`` of each class that has one: the same, else the first alike."""
    by_key = {_name_key(name): name for name in reversed(source_classes)}
    exact = set(source_classes)
    return {
        name: name if name in exact else by_key[_name_key(name)]
        for name in classes
        if name in exact or _name_key(name) in by_key
    }


def _name_key(name: str) -> str:
    """Return the letters and digits of a name without case; a name without any stays as it is."""
    return "".join(character for character in name.casefold() if character.isalnum()) or name


def _with_shared_rows(name: str, initial: Tensor, source: Tensor, source_indices: Sequence[int | None]) -> Tensor:
    """Return ``initial`` (rows, ...) with the rows of shared classes, and of the background, from ``source``.

    source_indices: for each class its index among the classes of ``source``, None for a new one.
    """
    rows_per_class, has_background = OUTPUTS[_output_layer(name)]
    rows, source_rows = (
        tensor.detach().clone().view(-1, rows_per_class, *initial.shape[1:]) for tensor in (initial, source)
    )
    if has_background:
        rows[0] = source_rows[0].to(rows)
    for index, source_index in enumerate(source_indices):
        if source_index is not None:
            rows[index + has_background] = source_rows[source_index + has_background].to(rows)
    return rows.flatten(0, 1)


def _output_note(classes: Sequence[str], shared: Sequence[str]) -> str:
    """Return a note on the output layers; an empty one if all rows are loaded."""
    if len(shared) == len(classes):
        return ""
    if not shared:
        return "output layers re-initialized: the file has none of the classes"
    new = [name for name in classes if name not in shared]
    return (
        f"output layers loaded for background, {', '.join(shared)}, re-initialized for {', '.join(new)}: "
        "not in the file"
    )


def _report(
    part: str, initial: StateDict, source: StateDict, loaded: set[str], outputs: set[str], note: str
) -> PartReport:
    """Return the report on one part; ``note`` is that on the output layers."""
    names = [name for name in initial if _part(name) == part]
    others = [name for name in names if name not in loaded and name not in outputs]
    reasons = {
        "not in the file": [name for name in others if name not in source],
        "of another shape": [name for name in others if name in source],
    }
    notes = [f"initialized, {reason}: {_first_names(tensors)}" for reason, tensors in reasons.items() if tensors]
    if note and not outputs.isdisjoint(names):
        notes.append(note)
    return PartReport(part, sum(name in loaded for name in names), len(names), tuple(notes))


def _first_names(names: Sequence[str]) -> str:
    """Return the first three names and the number of the others."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
