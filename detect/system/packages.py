"""Optional packages, imported when they are needed."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from detect.errors import UserError


def has_package(name: str) -> bool:
    """Return whether a package, or a module in it such as ``mlflow.tracking``, can be imported."""
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # the package that the module would be in
        return False


def require_package(name: str, purpose: str, distribution: str = "") -> None:
    """Raise UserError if a package is missing; call it before any work.

    purpose: the key, the option or the function that needs it, with which the message starts; distribution: what to
    install, where it has another name than the package.
    """
    if not has_package(name):
        raise UserError(f"{purpose}: expected the package {name}, found none; fix: pip install {distribution or name}")


def import_package(name: str, purpose: str, distribution: str = "") -> Any:
    """Return an optional package. Raises UserError as ``require_package`` does."""
    require_package(name, purpose, distribution)
    return importlib.import_module(name)
