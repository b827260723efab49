"""Run inside MiniStack's own environment, by path: MiniStack, tied to the life of the server that
started it.

Standard input is a pipe whose other end the server holds and never writes to. When it ends, the
server is gone, however it went, and MiniStack is asked to save and leave. Imports nothing of ours.
"""

from __future__ import annotations

import os
import runpy
import signal
import threading
import time

SAVING_SECONDS = 5.0


def leave_with_the_server() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(SAVING_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=leave_with_the_server, daemon=True).start()
    runpy.run_module("ministack", run_name="__main__")
