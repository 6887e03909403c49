"""Which pixels each cell of each map can see: receptive fields by the rules of the operations, cell by cell.

While ``Fields`` is open, every operation of torch on a tensor that it knows passes the fields on: a convolution's cell
sees what the cells under its kernel see, a sum or a concatenation what either part sees. Exact for every cell, at the
borders too, for any network of these operations: shortcuts, pyramids, dilation, transposed steps. Tensors may be on the
meta device: nothing is computed but the fields. (Dumoulin and Visin 2016, arXiv:1603.07285, and Araujo et al. 2019,
distill.pub/2019/computing-receptive-fields, have the arithmetic.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

_OUTSIDE = -1  # in a matrix of places: a tap on nothing


@dataclass(frozen=True)
class AxisField:
    """Along one side of a map: cell i sees the pixels low[i] to high[i], the latter excluded; jump: pixels from one
    cell to the next. A cell that sees nothing has a low above its high.
    """

    low: np.ndarray
    high: np.ndarray
    jump: float

    @classmethod
    def identity(cls, length: int) -> AxisField:
        """Each cell is a pixel."""
        return cls(np.arange(length), np.arange(length) + 1, 1.0)

    @property
    def size(self) -> int:
        """Pixels that the cell with the widest field sees."""
        return int((self.high - self.low).max())

    def gather(self, places: np.ndarray, step: float = 1.0) -> AxisField:
        """The cells (W,) that see what the cells at ``places`` (W, T) see; places outside the map see nothing.

        step: cells of this map to a cell of the new one.
        """
        real = (places >= 0) & (places < len(self.low))
        held = places.clip(0, len(self.low) - 1)
        low = np.where(real, self.low[held], np.iinfo(np.int64).max).min(1)
        high = np.where(real, self.high[held], 0).max(1)
        return AxisField(low, high, self.jump * step)

    def union(self, other: AxisField) -> AxisField:
        """Cells that see what either sees; a single cell goes with each of the other's."""
        jump = self.jump if len(self.low) >= len(other.low) else other.jump
        return AxisField(np.minimum(self.low, other.low), np.maximum(self.high, other.high), jump)


Field = tuple[AxisField, ...]  # one line for each side of a map: rows, columns
FieldsByCall = Mapping[tuple[str, int], Field]  # of what a layer answers, by its name and the number of the call from 1


class ReceptiveFieldMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Knows the field of each tensor that comes from ``pixels`` (N, 3, H, W); other numbers of sides are welcome."""

    def __init__(self, pixels: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._held: dict[int, tuple[Tensor, Field]] = {}  # the tensors too: an id is only theirs while they live
        self._hold(pixels, tuple(AxisField.identity(length) for length in pixels.shape[2:]))

    def field_of(self, maps: Tensor) -> Field | None:
        """The field of a map; None for what comes from no pixel, or is no map."""
        found = self._field(maps)
        return found if found and _lengths(found) == tuple(maps.shape[2:]) else None

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Called in place of every operation of torch."""
        answer = func(*args, **(kwargs or {}))
        tensors = [item for value in args for item in (value if isinstance(value, list | tuple) else (value,))]
        is_map = bool(tensors) and isinstance(tensors[0], Tensor) and self.field_of(tensors[0]) is not None
        rule = RULES.get(func.overloadpacket.__name__) if is_map else None  # of no map: AlexNet's sums over channels
        known = [field for item in tensors if isinstance(item, Tensor) and (field := self._field(item)) is not None]
        for result in answer if isinstance(answer, list | tuple) else [answer]:
            if known and isinstance(result, Tensor):
                self._hold(result, _union(known) if rule is None else rule(known[0], result, *args[1:]))
        return answer

    def _field(self, tensor: Tensor) -> Field | None:
        return self._held.get(id(tensor), (tensor, None))[1]

    def _hold(self, tensor: Tensor, field: Field) -> None:
        self._held[id(tensor)] = (tensor, field)


@contextmanager
def record_fields(part: nn.Module, known: ReceptiveFieldMode, whole: str) -> Iterator[dict[tuple[str, int], Field]]:
    """While open, the field of what each layer of ``part`` answers is noted; ``whole``: the name of ``part`` itself."""
    fields: dict[tuple[str, int], Field] = {}
    counted: Counter[str] = Counter()

    def note(name: str, answer: Any) -> None:
        counted[name] += 1
        field = known.field_of(answer) if isinstance(answer, Tensor) else None
        if field is not None:
            fields[name, counted[name]] = field

    hooks = [
        child.register_forward_hook(lambda _, __, answer, name=name or whole: note(name, answer))
        for name, child in part.named_modules()
    ]
    try:
        yield fields
    finally:
        for hook in hooks:
            hook.remove()


def _union(fields: Sequence[Field]) -> Field:
    """What any of them sees. Operations without a rule of their own work cell by cell."""
    first, *others = fields
    for other in others:
        if len(other) == len(first):
            first = tuple(a.union(b) for a, b in zip(first, other, strict=True))
    return first


def _lengths(field: Field) -> tuple[int, ...]:
    return tuple(len(line.low) for line in field)


def _per_axis(values: Sequence[int], sides: int) -> list[int]:
    """As many as there are sides; one stands for all."""
    return list(values) * sides if len(values) == 1 else list(values)


def _windows(lengths: Sequence[int], kernel: Any, stride: Any, padding: Any, dilation: Any) -> list[np.ndarray]:
    """The places (W, T) under a kernel for so many cells on each side."""
    sides = len(lengths)
    rows = zip(lengths, *(_per_axis(values, sides) for values in (kernel, stride, padding, dilation)), strict=True)
    return [
        np.arange(length)[:, None] * step - pad + np.arange(taps) * apart for length, taps, step, pad, apart in rows
    ]


def _gather(field: Field, places: Sequence[np.ndarray], steps: Sequence[float]) -> Field:
    return tuple(line.gather(one, step) for line, one, step in zip(field, places, steps, strict=True))


def _convolution(
    field: Field,
    answer: Tensor,
    weight: Tensor,
    _: Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transposed: bool,
    *_rest: Any,
) -> Field:
    lengths, kernel, sides = answer.shape[2:], weight.shape[2:], len(field)
    if not transposed:
        return _gather(field, _windows(lengths, kernel, stride, padding, dilation), _per_axis(stride, sides))
    rows = zip(lengths, *(_per_axis(values, sides) for values in (kernel, stride, padding, dilation)), strict=True)
    places = []
    for length, taps, step, pad, apart in rows:
        reached = np.arange(length)[:, None] + pad - np.arange(taps) * apart
        places.append(np.where(reached % step == 0, reached // step, _OUTSIDE))
    return _gather(field, places, [1 / step for step in _per_axis(stride, sides)])


def _pooling(
    field: Field,
    answer: Tensor,
    kernel: list[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    dilation: Any = (1,),
    *_rest: Any,
) -> Field:
    apart = (1,) if isinstance(dilation, bool) else dilation  # where a mean's arguments have ceil_mode
    places = _windows(answer.shape[2:], kernel, stride or kernel, padding, apart)
    return _gather(field, places, _per_axis(stride or kernel, len(field)))


def _adaptive(field: Field, answer: Tensor, *_: Any) -> Field:
    """Window o of W reaches from floor(o n / W) to ceil((o + 1) n / W); its ends see what all of it sees."""
    places, steps = [], []
    for found, wanted in zip(_lengths(field), answer.shape[2:], strict=True):
        cells = np.arange(wanted)
        places.append(np.stack([cells * found // wanted, -((cells + 1) * -found // wanted) - 1], 1))
        steps.append(found / wanted)
    return _gather(field, places, steps)


def _mean(field: Field, _: Tensor, dims: Any = None, *_rest: Any) -> Field:
    """Over all sides it sees everything; over channels alone it changes nothing."""
    if not dims or all(dim % (len(field) + 2) < 2 for dim in dims):
        return field
    return tuple(AxisField(np.array([line.low.min()]), np.array([line.high.max()]), line.jump) for line in field)


def _upsampling(reach: Callable[[np.ndarray, float], np.ndarray]) -> Callable[..., Field]:
    def rule(field: Field, answer: Tensor, *_: Any) -> Field:
        steps = [found / wanted for found, wanted in zip(_lengths(field), answer.shape[2:], strict=True)]
        places = [reach(np.arange(wanted), step) for wanted, step in zip(answer.shape[2:], steps, strict=True)]
        return _gather(field, places, steps)

    return rule


def _nearest(cells: np.ndarray, step: float) -> np.ndarray:
    return np.floor(cells * step + 1e-9).astype(np.int64)[:, None]


def _bilinear(cells: np.ndarray, step: float) -> np.ndarray:
    position = ((cells + 0.5) * step - 0.5).clip(0)
    return np.stack([np.floor(position), np.ceil(position)], 1).astype(np.int64)


def _sliced(field: Field, answer: Tensor, dim: int = 0, start: int | None = None, *rest: Any) -> Field:
    side = dim % answer.dim() - 2
    if side < 0 or side >= len(field) or len(field[side].low) == answer.shape[dim]:
        return field
    step = rest[1] if len(rest) > 1 else 1
    places = ((start or 0) + step * np.arange(answer.shape[dim]))[:, None]
    return tuple(line.gather(places, step) if place == side else line for place, line in enumerate(field))


def _padded(field: Field, answer: Tensor, pad: list[int], *_: Any) -> Field:
    before = [pad[2 * (len(field) - 1 - side)] for side in range(len(field))]
    return _gather(field, _windows(answer.shape[2:], (1,), (1,), before, (1,)), [1] * len(field))


RULES: dict[str, Callable[..., Field]] = {
    "convolution": _convolution,
    "max_pool2d_with_indices": _pooling,
    "max_pool3d_with_indices": _pooling,
    "avg_pool2d": _pooling,
    "avg_pool3d": _pooling,
    "_adaptive_avg_pool2d": _adaptive,
    "adaptive_max_pool2d": _adaptive,
    "mean": _mean,
    "upsample_nearest2d": _upsampling(_nearest),
    "upsample_bilinear2d": _upsampling(_bilinear),
    "slice": _sliced,
    "constant_pad_nd": _padded,
}
