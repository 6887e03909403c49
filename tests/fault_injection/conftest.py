from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fault_injection.command_client import Commands


@pytest.fixture(scope="session")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    """detect's command line in a process of its own for each call."""
    with Commands(tmp_path_factory.mktemp("commands")) as server:
        yield server
