"""What annotations of a COCO file have besides a box, and what of it is noted."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from detect.data.formats import coco_json
from detect.data.formats.report import Report


@dataclass
class AnnotationMarks:
    """What annotations have besides a box: their ids, and masks of crowds."""

    ids: list[str | int] = field(default_factory=list)
    without_id: list[str] = field(default_factory=list)
    crowds_without_mask: list[str] = field(default_factory=list)
    num_masks: int = 0
    num_turned: int = 0

    def add(self, location: str, annotation: coco_json.CocoAnnotation) -> None:
        """Remember the marks of an annotation."""
        if annotation.id is None:
            self.without_id.append(location)
        else:
            self.ids.append(annotation.id)
        self.num_masks += annotation.has_mask
        self.num_turned += annotation.turned
        if annotation.crowd and not annotation.has_mask:
            self.crowds_without_mask.append(annotation.location)

    def report(self, path: Path, report: Report) -> None:
        """Note ids that are missing or repeated, and crowds without a mask where others have one."""
        if self.num_turned:
            message = f"{self.num_turned} boxes have attributes.rotation: the box is the one around each, turned"
            report.note("dialect", path, "", message)
        for location in self.without_id:
            report.note("no-id", path, location, 'expected "id", found none')
        if len(set(self.ids)) < len(self.ids):
            seen: set[str | int] = set()
            for annotation_id in self.ids:
                if annotation_id in seen:
                    report.note("repeated-id", path, f"annotation {annotation_id}", "annotation id used again")
                seen.add(annotation_id)
        if self.num_masks:
            others = f"iscrowd is 1 without segmentation; {self.num_masks} others have one"
            for location in self.crowds_without_mask:
                report.note("crowd-without-mask", path, location, others)
