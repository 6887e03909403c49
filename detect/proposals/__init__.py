"""Proposals made by selective search, the files that store them, and the look-ups that give them to the loader."""

from __future__ import annotations

from detect.proposals.selective_search import selective_search

__all__ = ["selective_search"]
