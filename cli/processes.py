"""Processes that work for another one."""

from __future__ import annotations

import os
import signal
import threading
import time

SECONDS_BETWEEN_LOOKS = 0.5


def work_for(parent: int) -> None:
    """Make this process end soon after its parent has ended, however that happened; Ctrl-C is left to the parent.

    A thread looks every half second. Linux could send a signal instead, but does so when the *thread* ends that started
    the process, and other systems know nothing like it.

    parent: the parent's number, which it must tell itself: it may have ended already.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
