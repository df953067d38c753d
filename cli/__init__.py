"""Code shared by the commands of the harness: options, checks, progress, files and exit statuses.

Every command's package imports this one first. The imports that follow, such as torch, take seconds. If you press
Ctrl-C during that time, the command ends at once, without a traceback; after that, `cli.run` handles signals.
"""

import os
import signal
import sys
from types import FrameType


def _end(signum: int, frame: FrameType | None) -> None:
    os.write(2, b"interrupted\n")
    os._exit(128 + signum)


# This is what sys.argv looks like while Python imports the package of `python -m <command>`. Other programs that import
# this package keep their signal handlers.
if sys.argv[:1] == ["-m"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _end)
