"""Identify the code that produced a record."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bmdal import Method


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


def own_code(method: Method) -> dict[str, str]:
    """Return, by module name, the hash of each file outside the library that defines a component of the method.

    A file is hashed at the first call, so call this early: the code that runs is the code that was imported.
    """
    components = (method.selection, method.kernel, *method.transformations)
    modules = {type(component).__module__ for component in components if component is not None}
    own = sorted(module for module in modules if module.split(".")[0] != "bmdal")
    return {module: code for module in own if (code := _source_hash(module))}


@cache
def _source_hash(module: str) -> str | None:
    """Return the first digits of the sha256 of a module's file; None if it has no file, as in a notebook."""
    file = getattr(sys.modules[module], "__file__", None)
    return None if file is None else hashlib.sha256(Path(file).read_bytes()).hexdigest()[:12]
