"""A survey and the photos it names, to findings."""

from __future__ import annotations

from collections.abc import Callable

from detect.data.inspect.box_checks import check_boxes
from detect.data.inspect.class_checks import check_classes
from detect.data.inspect.findings import KINDS, Finding
from detect.data.inspect.image_checks import Looks, check_copies, check_photos
from detect.data.inspect.scan_records import Survey


def inspect(survey: Survey, looks: Looks, compared: Callable[[int], None] = lambda _: None) -> list[Finding]:
    """All findings, each once, worst kind first.

    looks: what every photo of the survey is; compared: told, now and then, how many more photos were compared with all
    others.
    """
    found = [
        *survey.findings,
        *check_photos(survey.photos, looks),
        *check_copies(survey.photos, looks, compared),
        *check_boxes(survey, looks),
        *check_classes(survey),
    ]
    order = {kind: place for place, kind in enumerate(KINDS)}
    return sorted(dict.fromkeys(found), key=lambda finding: order[finding.kind])
