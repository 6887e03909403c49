"""The command ``detect serve``."""

from __future__ import annotations

from pathlib import Path

import click

from detect.cli import options
from detect.cli.options import Device, Precision
from detect.errors import UserError
from detect.system.cpu import tune_malloc
from detect.system.packages import require_package


@click.command("serve", epilog="Example: detect serve runs/mine --port 8000")
@click.argument("model", type=Path)
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 lets other machines in."
)
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Port; 0 for a free one.")
@click.option(
    "--score",
    type=click.FloatRange(0, 1),
    metavar="0..1",
    default=0.5,
    show_default=True,
    help="Minimum score of a request without ?score=.",
)
@click.option("--batch-size", type=click.IntRange(1), default=8, show_default=True, help="Images computed together.")
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True, help="Threads that decode images.")
@click.option("--max-megabytes", type=click.FloatRange(0.001), default=20.0, show_default=True, help="Largest request.")
@click.option("--max-megapixels", type=click.FloatRange(0.001), default=50.0, show_default=True, help="Largest image.")
@click.option(
    "--max-requests", type=click.IntRange(1), default=64, show_default=True, help="Requests at a time; more get 503."
)
@click.option(
    "--timeout",
    type=click.FloatRange(0.1),
    metavar="SECONDS",
    default=30.0,
    show_default=True,
    help="Longest time for sending a request, and again for its answer.",
)
@options.settings
@options.device
@options.precision
def serve_command(
    model: Path,
    host: str,
    port: int,
    score: float,
    batch_size: int,
    workers: int,
    max_megabytes: float,
    max_megapixels: float,
    max_requests: int,
    timeout: float,
    overrides: tuple[str, ...],
    device: Device | None,
    precision: Precision | None,
) -> None:
    """Answer requests with MODEL (a run folder, a checkpoint, or a name of `detect model zoo`), and show a page.

    POST /predict with an image as the body, as a file of a form, or as base64 in JSON; GET /health, /metrics (for
    Prometheus) and /openapi.json. In a browser the address is a page: drop a photo, see the boxes or masks, move the
    score, and ask why a box is there. The page and the service call no other host.

    There is no password: whoever reaches the port may use it. Only this machine does, unless --host says otherwise.
    """
    tune_malloc()
    require_package("starlette", "serve", "detect-rcnn[serve]")
    require_package("uvicorn", "serve", "detect-rcnn[serve]")
    from detect.inference.load import load
    from detect.inference.lowest_score import describe_lowest_score
    from detect.serve.app import Service
    from detect.serve.limits import Limits
    from detect.serve.run import make_server, open_socket

    with open_socket(host, port) as listener:
        predictor = load(model, device or "auto", precision or "fp32", overrides)
        if predictor.slicing is not None:
            raise UserError(
                f"model.test_time.slice: expected null with detect serve, which batches whole images, found a size in "
                f"{predictor.file}: give --set model.test_time.slice.size=null, or use detect predict"
            )
        limits = Limits(
            num_bytes=round(1e6 * max_megabytes),
            pixels=round(1e6 * max_megapixels),
            queued=max_requests,
            seconds=timeout,
            batch_size=batch_size,
        )
        service = Service(predictor, limits, workers, score)
        shown = f"[{host}]" if ":" in host else host
        listener.listen()  # before the line: who reads it may connect at once, and waits until the server accepts
        print(f"{predictor!r} at http://{shown}:{listener.getsockname()[1]}/, until Ctrl-C", flush=True)
        for line in describe_lowest_score(predictor, score):
            print(line, flush=True)
        make_server(service).run(sockets=[listener])
    print(f"{service.metrics.num_answered} requests answered")
