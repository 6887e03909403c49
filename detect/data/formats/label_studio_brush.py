"""The run lengths of Label Studio's brush: pixels of four channels, packed to bits.

After rle-pack (github.com/thi-ng/umbrella): 32 bits with the number of words, 5 with their width less one, four times 4
with the widths of lengths less one; then blocks of a bit (1: one word that repeats, 0: words one by one), 2 bits that
choose the width of the length, the length less one, and the words. The last of the four channels, opacity, is the mask.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from detect.types import Size

_CHANNELS = 4
_NUM_WIDTHS = 4


def decode_brush(rle: Sequence[int], size: Size) -> np.ndarray:
    """Return the pixels of an image of ``size`` (h, w) that a mask covers, as (h, w) bool.

    rle: bytes. Raises ValueError, with what was expected, if they are others.
    """
    num_words = size[0] * size[1] * _CHANNELS
    expected = f"bytes of run lengths over {num_words} words"
    try:
        bits = _Bits(bytes(rle))
        if bits.read(32) != num_words:
            raise ValueError(expected)
        words = _read_words(bits, num_words)
    except (TypeError, ValueError, IndexError):
        raise ValueError(expected) from None
    return words.reshape(*size, _CHANNELS)[..., -1] > 0


def _read_words(bits: _Bits, num_words: int) -> np.ndarray:
    """Return the words that blocks of bits describe, (num_words,) uint8. Raises ValueError where they end early."""
    word_width = bits.read(5) + 1
    widths = [bits.read(4) + 1 for _ in range(_NUM_WIDTHS)]
    words = np.zeros(num_words, np.uint8)
    position = 0
    while position < num_words:
        is_run = bits.read(1)
        end = position + bits.read(widths[bits.read(2)]) + 1
        if end > num_words:
            raise ValueError("expected fewer words")
        if is_run:
            words[position:end] = bits.read(word_width)
        else:
            words[position:end] = [bits.read(word_width) for _ in range(end - position)]
        position = end
    return words


class _Bits:
    """Reads numbers of some bits, the highest bit first."""

    def __init__(self, content: bytes) -> None:
        self._text = "".join(f"{byte:08b}" for byte in content)
        self._position = 0

    def read(self, width: int) -> int:
        """Return the next number of ``width`` bits. Raises ValueError at the end."""
        first, self._position = self._position, self._position + width
        if self._position > len(self._text):
            raise ValueError("expected more bits")
        return int(self._text[first : self._position], 2)
