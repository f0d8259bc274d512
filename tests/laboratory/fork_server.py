"""Forks into programs, with the imports done that most of their start-up consists of.

Starting an interpreter and importing everything takes half a second of a core; the tests start
hundreds of programs. Run with the modules to import as arguments, and a socket as standard input:
each line from it is an order, which brings four descriptors. The fork's process id is the answer;
its exit status goes to the first of the descriptors when it has ended. The server's own process
id says that it is ready.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from typing import Any

STREAMS = (0, 1, 2)
_LONGEST_ORDER = 1 << 16


def become(order: dict[str, Any], streams: Sequence[int]) -> None:
    """Turn this fork into the program."""
    signal.alarm(order["patience"])
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["environment"])
    for descriptor, stream in zip(streams, STREAMS, strict=True):
        os.dup2(descriptor, stream)
        os.close(descriptor)
    sys.stdout.reconfigure(line_buffering=os.isatty(1))  # type: ignore[union-attr]
    program, *_ = sys.argv = order["arguments"]
    try:
        if os.sep in program:
            runpy.run_path(program, run_name="__main__")
        else:
            runpy.run_module(program, run_name="__main__")
    except SystemExit as end:
        end_at_once(end)


def end_at_once(end: SystemExit) -> None:
    """Leave out what takes longest of a short command: to free everything that was imported."""
    if isinstance(end.code, str):
        raise end
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(end.code or 0)


class Server:
    """Who forks, and tells how the forks ended."""

    def __init__(self) -> None:
        # Not `fromfd`, which makes a second descriptor: forks must not be left with one.
        self._orders = socket.socket(fileno=0)
        self._statuses: dict[int, int] = {}
        """By process id the descriptors to which the exit statuses go."""
        self._ended, self._wake = os.pipe()
        for descriptor in (self._ended, self._wake):
            os.set_blocking(descriptor, False)

    def serve(self) -> dict[str, Any] | None:
        """Work until there are no more orders; in a fork, give what it is to become."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        self._tell(os.getpid())
        with selectors.DefaultSelector() as selector:
            selector.register(self._orders, selectors.EVENT_READ)
            selector.register(self._ended, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select()}
                if self._ended in ready:
                    self._reap()
                if self._orders in ready:
                    message, descriptors = self._take()
                    if not message:
                        self._orders.close()
                        return None
                    if not self._fork(descriptors):
                        break
        self._leave(descriptors[0])
        return {**json.loads(message), "streams": descriptors[1:]}

    def _take(self) -> tuple[bytes, list[int]]:
        message, descriptors, *_ = socket.recv_fds(self._orders, _LONGEST_ORDER, len(STREAMS) + 1)
        while message and not message.endswith(b"\n"):
            message += self._orders.recv(_LONGEST_ORDER)
        return message, descriptors

    def _fork(self, descriptors: list[int]) -> bool:
        """Whether this is still the server."""
        pid = os.fork()
        if not pid:
            return False
        self._statuses[pid], *streams = descriptors
        for descriptor in streams:
            os.close(descriptor)
        self._tell(pid)
        return True

    def _tell(self, number: int) -> None:
        self._orders.sendall(f"{number}\n".encode())

    def _reap(self) -> None:
        os.read(self._ended, 4096)
        for pid in list(self._statuses):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                descriptor = self._statuses.pop(pid)
                os.write(descriptor, f"{os.waitstatus_to_exitcode(status)}".encode())
                os.close(descriptor)

    def _leave(self, own_status: int) -> None:
        """Give up in a fork what is the server's."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._orders.detach()
        for descriptor in (self._ended, self._wake, own_status, *self._statuses.values()):
            os.close(descriptor)


def main() -> None:
    """Import, and serve."""
    for name in sys.argv[1:]:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    order = Server().serve()
    if order is not None:
        become(order, order["streams"])


if __name__ == "__main__":
    main()
