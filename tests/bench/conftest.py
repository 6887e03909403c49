from __future__ import annotations

from tests.explain.conftest import image, model

__all__ = ["image", "model"]
