"""How a command runs and ends: its help, one line for what is wrong, and an exit status that says which kind of end.

0: all is done. 1: something failed on the way. 2: bad input. 130: Ctrl-C; 143: SIGTERM (128 + the signal's number).
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
    """Do what a command line asks for; gives the exit status.

    Args:
        arguments: the command line.
        describe: gives what `--help` prints; None: the work sees to that itself.
        work: is given the arguments and gives the exit status.
        expected: errors whose message is meant for the user and says all, beside OptionError and OSError.
        interrupted: what is said after Ctrl-C or SIGTERM.
    """
    if describe and {"-h", "--help"} & set(arguments):
        print(describe())
        return 0
    with _signals_interrupt():
        try:
            status = work(arguments)
            sys.stdout.flush()
        except BrokenPipeError:  # the reader has seen enough, as in `... | head`
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
    """Print an error as one that the user can do something about."""
    text = one_line(error) if isinstance(error, HydraException | OmegaConfBaseException) else error
    print(f"error: {text}", file=sys.stderr, flush=True)


def interrupt_status(interrupt: KeyboardInterrupt) -> int:
    """The exit status after Ctrl-C, SIGTERM or SIGHUP."""
    return 128 + int(interrupt.args[0] if interrupt.args else signal.SIGINT)


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """Within the context SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt, but for those that are to be ignored."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt(signum)

    signals = [s for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(s) != signal.SIG_IGN]
    before = {s: signal.signal(s, interrupt) for s in signals}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
