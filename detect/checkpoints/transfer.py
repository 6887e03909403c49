"""A detector's weights for a detector of other classes: what fits is kept, the rest stays as it was made.

The last two layers have rows for classes. A class that both detectors know keeps its rows; so does the background,
unless no class is shared: then nothing of the old answers is wanted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

State = Mapping[str, Tensor]

# layers of SoftmaxHead with rows for classes -> rows a class, whether the background (before all classes) has some
OUTPUTS = {"head.logits": (1, True), "head.deltas": (4, False)}


@dataclass(frozen=True)
class PartReport:
    """Of one part of a detector: how many of its tensors were kept whole, and a note for each reason why not all."""

    part: str
    kept: int
    total: int
    notes: tuple[str, ...]

    def __str__(self) -> str:
        amount = f"{self.kept} of {self.total} tensors kept" if self.kept else "made anew"
        return "; ".join([f"{self.part}: {'kept' if self.kept == self.total else amount}", *self.notes])


@dataclass(frozen=True)
class Transfer:
    """weights: the whole state of the new detector; parts: what became of each part, in its order of work."""

    weights: dict[str, Tensor]
    parts: tuple[PartReport, ...]


def transfer(own: State, given: State, classes: Sequence[str], given_classes: Sequence[str]) -> Transfer:
    """``own``, the state of a new detector of ``classes``, with all of ``given`` that fits by name and shape.

    Outputs read the vectors of the tail, so none of their rows is kept where the tail is not.
    """
    outputs = {name for name in own if name.rsplit(".", 1)[0] in OUTPUTS}
    kept = {
        name
        for name, value in own.items()
        if name not in outputs and name in given and given[name].shape == value.shape
    }
    tail = {name for name in own if name.startswith("head.")} - outputs
    readable = tail <= kept and all(_has_rows(name, given, own, given_classes) for name in outputs)
    shared = [name for name in classes if name in given_classes]
    weights = {name: given[name] if name in kept else value for name, value in own.items()}
    if readable and shared:
        for name in outputs:
            weights[name] = _with_rows(name, own[name], given[name], classes, given_classes)
        kept |= outputs if len(shared) == len(classes) else set()
    note = _output_note(classes, shared) if readable else "outputs made anew: their tail is new or their shape another"
    parts = dict.fromkeys(name.split(".")[0] for name in own)
    return Transfer(weights, tuple(_report(part, own, given, kept, outputs, note) for part in parts))


def _has_rows(name: str, given: State, own: State, given_classes: Sequence[str]) -> bool:
    """Whether the file's tensor is that of an output layer of its classes, and reads vectors of our length."""
    each, background = OUTPUTS[name.rsplit(".", 1)[0]]
    rows = each * (len(given_classes) + background)
    return name in given and given[name].shape == (rows, *own[name].shape[1:])


def _with_rows(name: str, own: Tensor, given: Tensor, classes: Sequence[str], given_classes: Sequence[str]) -> Tensor:
    """``own`` with the rows of shared classes, and of the background, from ``given``."""
    each, background = OUTPUTS[name.rsplit(".", 1)[0]]
    names, given_names = ([None] * background + list(known) for known in (classes, given_classes))
    rows, given_rows = (known.detach().clone().view(-1, each, *own.shape[1:]) for known in (own, given))
    for row, known in enumerate(names):
        if known in given_names:
            rows[row] = given_rows[given_names.index(known)].to(rows)
    return rows.flatten(0, 1)


def _output_note(classes: Sequence[str], shared: Sequence[str]) -> str:
    """What became of the outputs; empty where all are kept."""
    if len(shared) == len(classes):
        return ""
    if not shared:
        return "outputs made anew: the file knows none of the classes"
    fresh = [name for name in classes if name not in shared]
    return f"outputs kept for background, {', '.join(shared)}, made anew for {', '.join(fresh)}: not in the file"


def _report(part: str, own: State, given: State, kept: set[str], outputs: set[str], note: str) -> PartReport:
    names = [name for name in own if name.split(".")[0] == part]
    others = [name for name in names if name not in kept and name not in outputs]
    missing = [name for name in others if name not in given]
    misshapen = [name for name in others if name in given]
    notes = [
        f"made anew, {what}: {_some(found)}"
        for what, found in (("not in the file", missing), ("of another shape", misshapen))
        if found
    ]
    if note and not outputs.isdisjoint(names):
        notes.append(note)
    return PartReport(part, sum(name in kept for name in names), len(names), tuple(notes))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
