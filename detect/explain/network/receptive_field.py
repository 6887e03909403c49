"""Receptive fields: the pixels that each cell of each map depends on, by the rules of the operations, cell by cell.

While a ``ReceptiveFieldMode`` is active, every operation of torch on a tensor whose field is known passes the field on:
a cell of a convolution sees what the cells under its kernel see, a sum or a concatenation what either part sees. This
is exact for every cell, at the borders too, for any network of these operations: shortcuts, pyramids, dilation,
transposed convolutions. Tensors may be on the meta device: nothing is computed but the fields. Dumoulin and Visin 2016
(arXiv:1603.07285) and Araujo et al. 2019 (distill.pub/2019/computing-receptive-fields) give the arithmetic.
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

_OUTSIDE = -1  # in a matrix of cell indices: a tap outside the map


@dataclass(frozen=True)
class AxisField:
    """The receptive fields along one axis of a map.

    Cell i sees the pixels low[i] to high[i], the latter excluded; a cell that sees nothing has a low above its high.
    jump: pixels from one cell to the next (Araujo et al.'s word for the total stride).
    """

    low: np.ndarray
    high: np.ndarray
    jump: float

    @classmethod
    def identity(cls, length: int) -> AxisField:
        """Return the field of the pixels themselves: each cell is a pixel."""
        return cls(np.arange(length), np.arange(length) + 1, 1.0)

    @property
    def size(self) -> int:
        """Return the number of pixels that the cell with the widest field sees."""
        return int((self.high - self.low).max())

    def gather(self, indices: np.ndarray, step: float = 1.0) -> AxisField:
        """Return the field of W cells that see what the cells at ``indices`` (W, T) see; those outside see nothing.

        step: cells of this map to a cell of the new one.
        """
        inside = (indices >= 0) & (indices < len(self.low))
        clipped = indices.clip(0, len(self.low) - 1)
        low = np.where(inside, self.low[clipped], np.iinfo(np.int64).max).min(1)
        high = np.where(inside, self.high[clipped], 0).max(1)
        return AxisField(low, high, self.jump * step)

    def union(self, other: AxisField) -> AxisField:
        """Return the field of cells that see what either cell sees; a single cell is broadcast."""
        jump = self.jump if len(self.low) >= len(other.low) else other.jump
        return AxisField(np.minimum(self.low, other.low), np.maximum(self.high, other.high), jump)


Field = tuple[AxisField, ...]  # one for each spatial axis of a map: rows, columns
FieldsByCall = Mapping[tuple[str, int], Field]  # of the outputs of layers, by name and number of the call from 1


class ReceptiveFieldMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A mode that tracks the field of each tensor computed from ``pixels`` (N, 3, H, W).

    Pixels with one or three spatial axes work too.
    """

    def __init__(self, pixels: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._tracked: dict[int, tuple[Tensor, Field]] = {}  # holds the tensors too: an id is unique while they live
        self._track(pixels, tuple(AxisField.identity(length) for length in pixels.shape[2:]))

    def field_of(self, maps: Tensor) -> Field | None:
        """Return the field of a map; None for a tensor that depends on no pixel, or is no map."""
        field = self._field(maps)
        return field if field and _lengths(field) == tuple(maps.shape[2:]) else None

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Pass the fields on; torch calls this method in place of each of its operations."""
        output = func(*args, **(kwargs or {}))
        inputs = [
            part for argument in args for part in (argument if isinstance(argument, list | tuple) else (argument,))
        ]
        is_map = bool(inputs) and isinstance(inputs[0], Tensor) and self.field_of(inputs[0]) is not None
        field_rule = (
            RULES.get(func.overloadpacket.__name__) if is_map else None
        )  # of no map: AlexNet's sums over channels
        fields = [field for part in inputs if isinstance(part, Tensor) and (field := self._field(part)) is not None]
        for tensor in output if isinstance(output, list | tuple) else [output]:
            if fields and isinstance(tensor, Tensor):
                self._track(tensor, _union(fields) if field_rule is None else field_rule(fields[0], tensor, *args[1:]))
        return output

    def _field(self, tensor: Tensor) -> Field | None:
        return self._tracked.get(id(tensor), (tensor, None))[1]

    def _track(self, tensor: Tensor, field: Field) -> None:
        self._tracked[id(tensor)] = (tensor, field)


@contextmanager
def record_fields(
    network: nn.Module, mode: ReceptiveFieldMode, network_name: str
) -> Iterator[dict[tuple[str, int], Field]]:
    """Record the fields of the outputs of each layer of ``network`` while the context is active.

    network_name: the name of ``network`` itself, which has none among its layers.
    """
    fields: dict[tuple[str, int], Field] = {}
    calls: Counter[str] = Counter()

    def save_field(name: str, output: Any) -> None:
        calls[name] += 1
        field = mode.field_of(output) if isinstance(output, Tensor) else None
        if field is not None:
            fields[name, calls[name]] = field

    hooks = [
        child.register_forward_hook(lambda _, __, output, name=name or network_name: save_field(name, output))
        for name, child in network.named_modules()
    ]
    try:
        yield fields
    finally:
        for hook in hooks:
            hook.remove()


def _union(fields: Sequence[Field]) -> Field:
    """Return the union of the fields. Operations without a rule of their own work cell by cell."""
    first, *others = fields
    for other in others:
        if len(other) == len(first):
            first = tuple(a.union(b) for a, b in zip(first, other, strict=True))
    return first


def _lengths(field: Field) -> tuple[int, ...]:
    return tuple(len(axis.low) for axis in field)


def _per_axis(values: Sequence[int], num_axes: int) -> list[int]:
    """Return one value for each axis; a single value is repeated."""
    return list(values) * num_axes if len(values) == 1 else list(values)


def _windows(lengths: Sequence[int], kernel: Any, stride: Any, padding: Any, dilation: Any) -> list[np.ndarray]:
    """Return for each axis the indices (W, T) of the cells under the kernel, for W = its length."""
    num_axes = len(lengths)
    rows = zip(lengths, *(_per_axis(values, num_axes) for values in (kernel, stride, padding, dilation)), strict=True)
    return [
        np.arange(length)[:, None] * step - pad + np.arange(taps) * spacing for length, taps, step, pad, spacing in rows
    ]


def _gather(field: Field, indices: Sequence[np.ndarray], steps: Sequence[float]) -> Field:
    return tuple(
        axis.gather(axis_indices, step) for axis, axis_indices, step in zip(field, indices, steps, strict=True)
    )


def _convolution(
    field: Field,
    output: Tensor,
    weight: Tensor,
    _: Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transposed: bool,
    *_rest: Any,
) -> Field:
    lengths, kernel, num_axes = output.shape[2:], weight.shape[2:], len(field)
    if not transposed:
        return _gather(field, _windows(lengths, kernel, stride, padding, dilation), _per_axis(stride, num_axes))
    rows = zip(lengths, *(_per_axis(values, num_axes) for values in (kernel, stride, padding, dilation)), strict=True)
    indices = []
    for length, taps, step, pad, spacing in rows:
        positions = np.arange(length)[:, None] + pad - np.arange(taps) * spacing
        indices.append(np.where(positions % step == 0, positions // step, _OUTSIDE))
    return _gather(field, indices, [1 / step for step in _per_axis(stride, num_axes)])


def _pooling(
    field: Field,
    output: Tensor,
    kernel: list[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    dilation: Any = (1,),
    *_rest: Any,
) -> Field:
    spacing = (1,) if isinstance(dilation, bool) else dilation  # average pooling has ceil_mode at this position
    indices = _windows(output.shape[2:], kernel, stride or kernel, padding, spacing)
    return _gather(field, indices, _per_axis(stride or kernel, len(field)))


def _adaptive_pooling(field: Field, output: Tensor, *_: Any) -> Field:
    """Return the field of windows o of W, which span floor(o n / W) to ceil((o + 1) n / W).

    The first and last cells of a window together see all that it sees.
    """
    indices, steps = [], []
    for input_length, output_length in zip(_lengths(field), output.shape[2:], strict=True):
        cells = np.arange(output_length)
        first = cells * input_length // output_length
        last = -((cells + 1) * -input_length // output_length) - 1
        indices.append(np.stack([first, last], 1))
        steps.append(input_length / output_length)
    return _gather(field, indices, steps)


def _mean(field: Field, _: Tensor, dims: Any = None, *_rest: Any) -> Field:
    """Return the field of a mean: over all spatial axes it sees everything, over channels alone nothing changes."""
    if not dims or all(dim % (len(field) + 2) < 2 for dim in dims):
        return field
    return tuple(AxisField(np.array([axis.low.min()]), np.array([axis.high.max()]), axis.jump) for axis in field)


def _upsampling(source_cells: Callable[[np.ndarray, float], np.ndarray]) -> Callable[..., Field]:
    """Return the rule of an upsampling; source_cells: from cells (W,) and the step to the indices (W, T) they read."""

    def upsampling(field: Field, output: Tensor, *_: Any) -> Field:
        lengths = list(zip(_lengths(field), output.shape[2:], strict=True))
        steps = [input_length / output_length for input_length, output_length in lengths]
        indices = [
            source_cells(np.arange(output_length), step)
            for (_, output_length), step in zip(lengths, steps, strict=True)
        ]
        return _gather(field, indices, steps)

    return upsampling


def _nearest(cells: np.ndarray, step: float) -> np.ndarray:
    return np.floor(cells * step + 1e-9).astype(np.int64)[:, None]


def _bilinear(cells: np.ndarray, step: float) -> np.ndarray:
    position = ((cells + 0.5) * step - 0.5).clip(0)
    return np.stack([np.floor(position), np.ceil(position)], 1).astype(np.int64)


def _slice(field: Field, output: Tensor, dim: int = 0, start: int | None = None, *rest: Any) -> Field:
    sliced = dim % output.dim() - 2
    if sliced < 0 or sliced >= len(field) or len(field[sliced].low) == output.shape[dim]:
        return field
    step = rest[1] if len(rest) > 1 else 1
    indices = ((start or 0) + step * np.arange(output.shape[dim]))[:, None]
    return tuple(axis.gather(indices, step) if i == sliced else axis for i, axis in enumerate(field))


def _padding(field: Field, output: Tensor, pad: list[int], *_: Any) -> Field:
    before = [pad[2 * (len(field) - 1 - i)] for i in range(len(field))]
    return _gather(field, _windows(output.shape[2:], (1,), (1,), before, (1,)), [1] * len(field))


RULES: dict[str, Callable[..., Field]] = {
    "convolution": _convolution,
    "max_pool2d_with_indices": _pooling,
    "max_pool3d_with_indices": _pooling,
    "avg_pool2d": _pooling,
    "avg_pool3d": _pooling,
    "_adaptive_avg_pool2d": _adaptive_pooling,
    "adaptive_max_pool2d": _adaptive_pooling,
    "mean": _mean,
    "upsample_nearest2d": _upsampling(_nearest),
    "upsample_bilinear2d": _upsampling(_bilinear),
    "slice": _slice,
    "constant_pad_nd": _padding,
}
