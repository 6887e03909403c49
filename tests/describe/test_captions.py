from __future__ import annotations

import numpy as np
import pytest

from detect.describe.captions import CaptionedImage, Mention, Sentence, no_boxes

BOX = np.array([[1, 2, 3, 4]], np.float32)


@pytest.mark.parametrize(
    ("words", "boxes"), [((), BOX), ((0,), no_boxes()), ((0,), BOX[0]), ((0,), BOX.astype(np.float64))]
)
def test_mention_without_words_or_boxes_or_with_boxes_of_another_form_is_refused(
    words: tuple[int, ...], boxes: np.ndarray
) -> None:
    with pytest.raises(ValueError, match="Mention"):
        Mention(words=words, boxes=boxes)


def test_sentence_refuses_a_mention_beyond_its_words() -> None:
    Sentence(text="a dog", tokens=("a", "dog"), mentions=(Mention(words=(1,), boxes=BOX),))
    with pytest.raises(ValueError, match=r"0\.\.1"):
        Sentence(text="a dog", tokens=("a", "dog"), mentions=(Mention(words=(2,), boxes=BOX),))


def test_captioned_image_refuses_labels_that_do_not_match_its_boxes() -> None:
    with pytest.raises(ValueError, match="labels"):
        CaptionedImage(name="a.jpg", sentences=(), boxes=BOX, labels=np.zeros(0, np.int64))
