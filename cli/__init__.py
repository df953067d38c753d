"""What the commands of the harness share: options, checks, progress, files, and how a command ends.

The package of a command imports this one first. What it imports next, such as torch, takes seconds, in which Ctrl-C
ends the command at once, without a traceback; from then on `cli.run` decides.
"""

import os
import signal
import sys
from types import FrameType


def _end(signum: int, frame: FrameType | None) -> None:
    os.write(2, b"interrupted\n")
    os._exit(128 + signum)


# So Python calls itself while it imports the package of `python -m <command>`; nothing is touched in other programs.
if sys.argv[:1] == ["-m"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _end)
