"""``python -m detect`` is ``detect``."""

from __future__ import annotations

from detect.cli.main import run

if __name__ == "__main__":
    run()
