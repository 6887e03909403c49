"""Runs parts, each in a new process, so that an error of the GPU or a hang in one leaves the others as they are."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from tools.cuda_checks.records import CheckReport, Observation, Part, PartReport, Setup, Status, check_name

OVERTIME = 1.5  # the process of a part is ended when it has taken so many times its budget
# Imported once by the server that all processes are forked from; nothing here starts CUDA.
PRELOAD = ["tools.cuda_checks.parts"]
Log = Callable[[str], None]


@dataclass
class _Messages:
    """What the process of a part has sent: the reports of its checks, and what the current check has said so far."""

    reports: list[CheckReport] = field(default_factory=list)
    current: str | None = None
    observations: list[Observation] = field(default_factory=list)

    def add(self, message: str | Observation | CheckReport, log: Log) -> None:
        """Take the name of a check that begins, a line of it, or its report."""
        if isinstance(message, str):
            self.current, self.observations = message, []
        elif isinstance(message, Observation):
            self.observations.append(message)
            log(f"  {'' if message.passed else 'FAILED: '}{message.text}")
        else:
            self.current = None
            self.reports.append(message)
            log(f"  {message.status}: {message.name}, {message.seconds:.1f} s")
            if message.reason:
                log("\n".join(f"    {line}" for line in message.reason.splitlines()))


def run_part(part: Part, setup: Setup, seconds_left: float, log: Log) -> PartReport:
    """Run the checks of a part and return what came of them; a part whose budget is not left is skipped."""
    if part.seconds > seconds_left:
        reason = f"needs {part.seconds:.0f} s, {max(0.0, seconds_left):.0f} s are left"
        log(f"part {part.number}: {part.title}: skipped, {reason}")
        return PartReport(part.number, part.title, part.seconds, 0.0, reason=reason)
    budget = seconds_left if part.takes_rest else part.seconds
    limit = min(seconds_left, budget * OVERTIME)
    log(f"part {part.number}: {part.title} ({budget:.0f} s)")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    receiver, sender = context.Pipe(duplex=False)
    started = time.monotonic()
    process = context.Process(target=_run_checks, args=(part, setup, budget, sender))
    process.start()
    sender.close()
    messages = _Messages()
    ended = _receive(receiver, messages, started + limit, log)
    _end(process)
    elapsed, reason = time.monotonic() - started, ""
    if messages.current is not None:
        reason = f"its process ended with status {process.exitcode}" if ended else f"ended after {elapsed:.0f} s"
        messages.add(
            CheckReport(messages.current, "failed", elapsed, tuple(messages.observations), f"the part: {reason}"), log
        )
    elif not messages.reports:
        reason = "its process did not start" if ended else f"ended after {elapsed:.0f} s, before its first check"
        messages.add(CheckReport("start", "failed", elapsed, (), reason), log)
    return PartReport(part.number, part.title, budget, elapsed, tuple(messages.reports), reason)


def _end(process: BaseProcess) -> None:
    """End the process of a part if it still runs, with all that it has started: loaders of images, torchrun."""
    if process.pid is not None:
        with suppress(ProcessLookupError, PermissionError):  # it may not have made its group yet
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
    process.join()


def _receive(receiver: Connection, messages: _Messages, deadline: float, log: Log) -> bool:
    """Take all messages; return whether the process closed the connection before the deadline."""
    while (left := deadline - time.monotonic()) > 0:
        if not receiver.poll(left):
            break
        try:
            messages.add(receiver.recv(), log)
        except EOFError:
            return True
    return False


def _run_checks(part: Part, setup: Setup, budget: float, sender: Connection) -> None:
    """Run the checks in this process and send what each says."""
    os.setsid()  # so that all that it starts can be ended with it
    started = time.monotonic()
    for check in part.checks:
        name = check_name(check)
        elapsed = time.monotonic() - started
        if elapsed > budget:
            sender.send(CheckReport(name, "skipped", 0.0, (), f"{elapsed:.0f} of {budget:.0f} s are spent"))
            continue
        sender.send(name)
        sender.send(_run_check(check, name, setup, sender))
    sender.close()


def _run_check(check: Callable[[Setup], object], name: str, setup: Setup, sender: Connection) -> CheckReport:
    started, observations, reason = time.monotonic(), [], ""
    try:
        for observation in check(setup):  # type: ignore[attr-defined]
            observations.append(observation)
            sender.send(observation)
    except (Exception, SystemExit):  # a command that was called may exit
        reason = traceback.format_exc()
    passed = not reason and all(observation.passed for observation in observations)
    status: Status = "passed" if passed else "failed"
    return CheckReport(name, status, time.monotonic() - started, tuple(observations), reason)


def run_parts(
    parts: Sequence[Part],
    setup: Setup,
    seconds: float,
    log: Log,
    save: Callable[[Sequence[PartReport]], None],
    started: float,
) -> list[PartReport]:
    """Run the parts in order and return their reports; ``save`` is called with all reports after each.

    seconds: the time for all of them, from ``started`` (``time.monotonic``) on.
    """
    reports: list[PartReport] = []
    for part in parts:
        reports.append(run_part(part, setup, seconds - (time.monotonic() - started), log))
        save(reports)
    return reports
