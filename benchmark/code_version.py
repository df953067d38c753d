"""Which code made a number."""

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
    """Version of the package and commit of the checkout, e.g. "0.1.0+3f2c1ab", with ".dirty" if files were changed."""
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
    """Hash of each file outside the library in which a component of the method is defined, by its module's name.

    It is that of the file when it is asked for first, so ask early: what runs is what was imported.
    """
    components = (method.selection, method.kernel, *method.transformations)
    modules = {type(component).__module__ for component in components if component is not None}
    own = sorted(module for module in modules if module.split(".")[0] != "bmdal")
    return {module: code for module in own if (code := _source_hash(module))}


@cache
def _source_hash(module: str) -> str | None:
    """The first digits of the sha256 of a module's file; None for what was typed into a notebook."""
    file = getattr(sys.modules[module], "__file__", None)
    return None if file is None else hashlib.sha256(Path(file).read_bytes()).hexdigest()[:12]
