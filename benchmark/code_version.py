"""Which code made a number."""

from __future__ import annotations

import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


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
