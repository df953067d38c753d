"""Run a command: print its help, report an error in one line, and return an exit status.

0: everything is done. 1: something failed on the way. 2: bad input. 130: Ctrl-C. 143: SIGTERM (128 + signal number).
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from cli.options import OptionError, one_line

FAILED, BAD_INPUT = 1, 2


def run_command(
    arguments: Sequence[str],
    describe: Callable[[], str] | None,
    work: Callable[[Sequence[str]], int],
    expected: tuple[type[Exception], ...] = (),
    interrupted: str = "interrupted",
) -> int:
    """Run a command line and return the exit status.

    Args:
        arguments: the command line.
        describe: returns the text that `--help` prints; None: `work` handles `--help` itself.
        work: takes the arguments and returns the exit status.
        expected: errors that are reported to the user by their message alone, in addition to OptionError and OSError.
        interrupted: the message after Ctrl-C or SIGTERM.
    """
    if describe and {"-h", "--help"} & set(arguments):
        print(describe())
        return 0
    with _signals_interrupt():
        try:
            status = work(arguments)
            sys.stdout.flush()
        except BrokenPipeError:  # the reader stopped reading, as in `... | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            return 128 + signal.SIGPIPE
        except KeyboardInterrupt as interrupt:
            print(interrupted, file=sys.stderr)
            return interrupt_status(interrupt)
        except Exception as error:
            if not isinstance(error, (OptionError, OSError, *expected)):
                raise
            complain(error)
            return BAD_INPUT
        return status


def complain(error: Exception) -> None:
    """Print the message of an error on stderr, without a traceback."""
    text = one_line(error) if isinstance(error, HydraException | OmegaConfBaseException) else error
    print(f"error: {text}", file=sys.stderr, flush=True)


def interrupt_status(interrupt: KeyboardInterrupt) -> int:
    """Return the exit status after Ctrl-C, SIGTERM or SIGHUP."""
    return 128 + int(interrupt.args[0] if interrupt.args else signal.SIGINT)


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """Raise KeyboardInterrupt on SIGINT, SIGTERM and SIGHUP within the context, except for signals that are ignored."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt(signum)

    signals = [s for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(s) != signal.SIG_IGN]
    before = {s: signal.signal(s, interrupt) for s in signals}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
