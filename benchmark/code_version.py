"""Identify the code that produced a record."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_INSTALLED = ("stdlib", "platstdlib", "purelib", "platlib")


@cache
def code_version() -> str:
    """Return package version and commit, e.g. "0.1.0+3f2c1ab", followed by ".dirty" if files have been changed."""
    try:
        package = version("bmdal")
    except PackageNotFoundError:
        package = "unknown"
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return package
    describe = ["git", "-C", str(root), "describe", "--always", "--dirty=.dirty", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(describe, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return package
    return f"{package}+{done.stdout.strip()}"


def own_code(components: Iterable[object]) -> dict[str, str]:
    """Return, by module name, the hash of each file outside this project that defines the classes of some objects.

    Counts the classes that they inherit from, too, unless these are installed; not what else the files import.
    A file is hashed at the first call, so call this early: the code that runs is the code that was imported.
    """
    classes = [(type(c), base) for c in components if c is not None for base in type(c).__mro__]
    modules = {
        base.__module__
        for itself, base in classes
        if base.__module__.split(".")[0] not in ("bmdal", "benchmark") and (base is itself or not _is_installed(base))
    }
    return {module: code for module in sorted(modules) if (code := _source_hash(module))}


def _is_installed(class_: type) -> bool:
    """Whether a class comes with Python or from a package that was installed."""
    file = getattr(sys.modules[class_.__module__], "__file__", None)
    return file is None or any(Path(file).is_relative_to(sysconfig.get_path(name)) for name in _INSTALLED)


@cache
def _source_hash(module: str) -> str | None:
    """Return the first digits of the sha256 of a module's file; None if it has no file, as in a notebook."""
    file = getattr(sys.modules[module], "__file__", None)
    return None if file is None else hashlib.sha256(Path(file).read_bytes()).hexdigest()[:12]
