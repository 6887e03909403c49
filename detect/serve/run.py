"""Starts the service on a port of this machine."""

from __future__ import annotations

import socket

import uvicorn

from detect.errors import UserError
from detect.serve.app import Service

_KEEP_ALIVE = 5  # seconds that an idle connection stays open
_CONNECTIONS_BESIDE = 64  # those of /health, /metrics, the page and slow clients beside the requests that are answered


def open_socket(host: str, port: int) -> socket.socket:
    """Return a socket bound to a port, 0 for any free one, that does not listen yet. Raises UserError if it cannot."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"--host {host} --port {port}: expected a free port, found: {reason}") from error
    return listener


def make_server(service: Service) -> uvicorn.Server:
    """Return the server of a service; ``server.run(sockets=[...])`` serves until it is interrupted."""
    return uvicorn.Server(
        uvicorn.Config(
            service.app,
            log_level="warning",
            access_log=False,
            http="h11",
            ws="none",
            lifespan="on",
            timeout_keep_alive=_KEEP_ALIVE,
            limit_concurrency=service.limits.queued + _CONNECTIONS_BESIDE,
            server_header=False,
        )
    )
