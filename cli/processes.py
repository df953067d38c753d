"""Worker processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time

SECONDS_BETWEEN_LOOKS = 0.5


def is_worker() -> bool:
    """Whether this process works for another one, which can replace it."""
    return multiprocessing.parent_process() is not None


def work_for(parent: int) -> None:
    """End this process soon after its parent ends, for whatever reason. Ctrl-C is left to the parent.

    A thread checks every half second. Linux could send a signal instead, but sends it when the *thread* that started
    the process ends, and other systems have nothing like it.

    parent: the parent's process id. The parent must pass it, because it may have ended before this function runs.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
