"""Where proposals come from: given, searched or learned."""

from __future__ import annotations

from detect.proposals.selective_search import selective_search

__all__ = ["selective_search"]
