"""A python for tests, which has imported torch, Hydra and pandas before a command asks for them.

Nine tenths of a short command are these imports. So a server imports them once, and each command is a fork of it. The
project's own modules are not among them: every command imports these itself, from its own working directory.

`warm_python()` gives a program that takes `-m module` or `script.py`, after `-W error` or not, like python, and hands
arguments, environment, working directory and the standard streams to the server. Two things differ from a cold start:
signals to the program do not reach the command, and all commands share one hash seed. Tests of signals, and one start
of every command (test_commands.py), use `sys.executable`.
"""

from __future__ import annotations

import atexit
import functools
import gc
import importlib
import json
import os
import random
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

IMPORTED = (
    "torch", "hydra", "pandas", "pyarrow.parquet", "scipy.io", "scipy.stats", "sklearn.ensemble", "joblib", "jinja2",
    "matplotlib.pyplot", "requests", "scikit_posthocs",
)  # fmt: skip
CLIENT = """#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    socket.send_fds(server, [json.dumps([sys.argv[1:], dict(os.environ), os.getcwd()]).encode()], [0, 1, 2])
    server.shutdown(socket.SHUT_WR)
    sys.exit(int(server.recv(16)))
"""


@functools.cache
def warm_python() -> str:
    """Path of the program, which is called `python`; its server lives as long as this process."""
    folder = Path(tempfile.mkdtemp(prefix="warm-python-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    address, program = folder / "server", folder / "python"
    server = subprocess.Popen(
        [sys.executable, __file__, str(address)], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
    )  # fmt: skip
    atexit.register(server.communicate)  # closes its input, and waits
    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n"
    program.write_text(CLIENT.format(python=sys.executable, address=str(address)))
    program.chmod(0o755)
    return str(program)


def _serve(address: str) -> list[str]:
    """Fork for each command until standard input ends. Returns in a fork, with the arguments of its command."""
    for name in IMPORTED:
        importlib.import_module(name)
    gc.freeze()  # what forks do not look at stays shared
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen()
    print("ready", flush=True)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while listener in select.select([listener, sys.stdin], [], [])[0]:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            return _attend(connection)
        connection.close()
    sys.exit()


def _attend(connection: socket.socket) -> list[str]:
    """Fork once more, wait for the command, and send its status. Returns in the command."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    message, streams, _, _ = socket.recv_fds(connection, 2**20, 3)
    while part := connection.recv(2**20):
        message += part
    if command := os.fork():
        status = os.waitstatus_to_exitcode(os.waitpid(command, 0)[1])
        connection.send(str(status % 256).encode())
        os._exit(0)
    connection.close()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    arguments, environment, folder = json.loads(message)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None  # read from the command's own environment
    return list(arguments)


def _run(arguments: list[str]) -> None:
    """What python does with these arguments."""
    import numpy as np
    import torch

    random.seed()
    np.random.seed()
    if "OMP_NUM_THREADS" in os.environ:
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    if arguments[0] == "-W":
        warnings.simplefilter(arguments[1])  # type: ignore[arg-type]
        arguments = arguments[2:]
    sys.path[0:1] = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    if arguments[0] == "-m":
        sys.path.insert(0, os.getcwd())
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.path.insert(0, str(Path(arguments[0]).resolve().parent))
        sys.argv = arguments
        runpy.run_path(arguments[0], run_name="__main__")


def _main(address: str) -> None:
    status = [1]  # of a command that an exception ends
    atexit.register(lambda: _leave(status[0]))  # registered first, so called last
    arguments = _serve(address)
    try:
        _run(arguments)
        status[0] = 0
    except SystemExit as end:
        status[0] = end.code if isinstance(end.code, int) else int(end.code is not None)
        raise


def _leave(status: int) -> None:
    """End the process without freeing its modules, which would first copy their memory."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    _main(sys.argv[1])
