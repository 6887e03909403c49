"""What a list of images is for, by its name."""

from __future__ import annotations

from collections.abc import Mapping


def split_of(name: str) -> str | None:
    """``train``, ``val`` or ``test`` for the name of a list or file of one; None for trainval and all others."""
    lowered = name.lower()
    roles: Mapping[str, bool] = {role: role in lowered for role in ("train", "val", "test")}
    found = [role for role, there in roles.items() if there]
    return found[0] if len(found) == 1 else None
