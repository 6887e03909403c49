"""The options --model and --folds of ``detect data inspect``: the labels that a detector disagrees with."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from detect.system.cpu import tune_malloc

if TYPE_CHECKING:
    from detect.data.annotations import Annotations
    from detect.data.formats.labeled_folder import LabeledFolder
    from detect.data.formats.records import LabeledImage
    from detect.evaluation.analysis.label_suspects import LabelSuspect
    from detect.inference.label_review import LabelReview

_NUM_LINES = 20  # suspects that are printed; the JSON file and the page have more


class LabelReviewer:
    """Ranks the labels of a folder with a detector.

    It loads the detector when it is made, so that a wrong name is told before the images are read. folds: how many
    detectors are trained by its settings, each to judge the images that it was not trained on; None to use itself;
    folds_out: where they are trained.
    """

    def __init__(self, model: str, folds: int | None = None, folds_out: Path | None = None) -> None:
        tune_malloc()
        from detect.inference.load import load

        self._name = model
        self._predictor = load(model)
        self._num_folds = folds
        self._folds_out = folds_out

    def print_suspects(self, folder: LabeledFolder, gallery: Path | None) -> list[dict[str, Any]]:
        """Print the first suspects and what the review does not show, write the page, and return all for JSON."""
        from detect.data.inspect.valid_annotations import readable_images, valid_annotations
        from detect.report.label_page import suspect_title, write_label_page

        annotations, images = valid_annotations(folder), readable_images(folder)
        review = self._review(annotations, folder.root.absolute().name)
        rows = [_to_row(suspect, review, images[suspect.image]) for suspect in review.suspects]
        counts = ", ".join(f"{count} {kind}" for kind, count in Counter(row["kind"] for row in rows).most_common())
        reviewer = self._name if self._num_folds is None else "the detector of their fold"
        print(f"labels that {reviewer} disagrees with: {len(rows)} ({counts or 'none'}), the most suspicious first")
        for suspect, row in list(zip(review.suspects, rows, strict=True))[:_NUM_LINES]:
            location = row["where"] or "no label"
            print(f"    {suspect_title(suspect, review.annotations)}: {row['label_file']}: {location} ({row['image']})")
        for note in (*review.notes(), *review.unreadable):
            print(f"note: {note}")
        if gallery is not None:
            title = f"{folder.root.absolute().name}: labels to check"
            num_cards = write_label_page(gallery, title, review.notes(), review.suspects, review.annotations)
            print(f"{gallery}: {num_cards} of {len(rows)} suspects")
        return rows

    def _review(self, annotations: Annotations, name: str) -> LabelReview:
        """Return the labels that the detector or those of the folds disagree with; name: of the data's folder."""
        from detect.inference.label_review import review_labels
        from detect.system.progress import show_progress

        console = Console(stderr=True)
        if self._num_folds is None:
            with show_progress(console, "reviewing labels", len(annotations), "images") as progress:
                return review_labels(self._predictor, annotations, progress)
        from detect.training.fold_initial import with_initial_weights
        from detect.training.folds import make_folds, review_folds, train_folds

        out = (self._folds_out or Path(f"{name}-folds")).absolute()
        config = with_initial_weights(self._predictor.config, Path(self._name), self._predictor.file)
        folds = make_folds(config, annotations, self._num_folds, out)
        print(folds.describe(), flush=True)
        runs = train_folds(folds)
        with show_progress(console, "reviewing labels", len(annotations), "images") as progress:
            return review_folds(folds, runs, progress)


def _to_row(suspect: LabelSuspect, review: LabelReview, image: LabeledImage) -> dict[str, Any]:
    """Return a suspect as values that JSON can hold. box: that of the detection, or of the label in question."""
    valid = [instance for instance in image.objects if instance.invalid_reason is None]
    labeled = None if suspect.object is None else valid[suspect.object]
    return {
        "kind": suspect.kind,
        "suspicion": round(suspect.suspicion, 6),
        "image": str(image.file),
        "label_file": str(image.label_file),
        "where": "" if labeled is None else labeled.location,
        "labeled": None if labeled is None else labeled.name,
        "labeled_box": None if labeled is None else list(labeled.box),
        "class": review.annotations.classes[suspect.label - 1],
        "score": suspect.score,
        "box": suspect.box.tolist(),
    }
