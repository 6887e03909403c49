"""The page of a trace: names from anywhere are text."""

from __future__ import annotations

from detect.explain.trace.trace_page import TracePage, render_trace_page

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


def test_names_are_text_and_nothing_else() -> None:
    html = render_trace_page(TracePage(file=EVIL, facts=[(EVIL, EVIL)], classes=[EVIL, "zebra"], detections=[], num_omitted=3))
    assert html.count("&lt;script&gt;alert(1)") >= 3
    assert "<script" not in html
    assert "<img src=x" not in html
