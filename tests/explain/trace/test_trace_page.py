"""The page of a trace escapes all names."""

from __future__ import annotations

from detect.explain.trace.trace_page import TracePage, render_trace_page

SCRIPT = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


def test_trace_page_escapes_names() -> None:
    html = render_trace_page(
        TracePage(file=SCRIPT, facts=[(SCRIPT, SCRIPT)], classes=[SCRIPT, "zebra"], detections=[], num_omitted=3)
    )
    assert html.count("&lt;script&gt;alert(1)") >= 3
    assert "<script" not in html
    assert "<img src=x" not in html
