from __future__ import annotations

from tests.explain.conftest import model, photo

__all__ = ["model", "photo"]
