"""Configuration of the site (`make docs`). Neither the build nor the pages load anything from a network."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT), str(HERE)]  # the checkout, and components.py next to this file

import components  # noqa: E402
from sphinx.application import Sphinx  # noqa: E402

components.write(HERE / "generated")
components.write_recipes(ROOT / "build" / "recipes")

project = "bmdal"
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["generated/recipes/GALLERY_HEADER.rst", "leaderboard_table.md"]

html_theme = "pydata_sphinx_theme"
html_title = "bmdal"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "navbar_end": ["theme-switcher"],
    "footer_start": [],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": False,
    "pygments_light_style": "default",
    "pygments_dark_style": "github-dark",
}

highlight_language = "none"  # unless a text specifies the language
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
autodoc_member_order = "bysource"
autodoc_default_options = {"exclude-members": "set_score_request"}  # scikit-learn's
autodoc_inherit_docstrings = False
autodoc_type_aliases = {"ArrayLike": "ArrayLike"}
autodoc_preserve_defaults = True
autosummary_ignore_module_all = False
autosummary_imported_members = True
maximum_signature_line_length = 72
toc_object_entries_show_parents = "hide"
napoleon_attr_annotations = False  # they are in the signature
napoleon_use_ivar = True
napoleon_numpy_docstring = False

sphinx_gallery_conf = {
    "examples_dirs": "../build/recipes",
    "gallery_dirs": "generated/recipes",
    "plot_gallery": False,  # the tests run the recipes, since they need other libraries
    "download_all_examples": False,
    "show_signature": False,
    "write_computation_times": False,
    "backreferences_dir": None,
    "within_subsection_order": "FileNameSortKey",
}

# Pages of the site for files of the repository outside docs/.
PAGES = {
    "README.md": "/start.md",
    "README.md#examples": "/examples.md",
    "CONTRIBUTING.md": "/contributing.md",
    "CHANGELOG.md": "/changelog.md",
    "examples/README.md": "/examples.md",
    "examples/recipes": "/generated/recipes/index.rst",
}


def relinked(text: str, folder: str) -> str:
    """Markdown of a file in a folder of the repository, with links converted for the site.

    A link goes to the file's page if the site has one; otherwise the file is offered for download.
    """

    def link(match: re.Match[str]) -> str:
        target, anchor = match[1], match[2] or ""
        if not target and folder == "docs":
            return match[0]
        path = os.path.normpath(os.path.join(folder, target or "README.md"))
        return f"]({_on_site(path, anchor)})"

    return re.sub(r"\]\((?!\w+:|/)([^)#\s]*)(#[^)\s]*)?\)", link, text)


def _on_site(path: str, anchor: str) -> str:
    if (page := PAGES.get(path + anchor)) is not None:
        return page
    if (name := re.fullmatch(r"examples/recipes/(\w+)\.py", path)) is not None:
        return f"/generated/recipes/{name[1]}.rst"
    return PAGES.get(path, "/" + os.path.relpath(ROOT / path, HERE)) + anchor


def _source_read(app: Sphinx, docname: str, source: list[str]) -> None:
    if (HERE / f"{docname}.md").exists():
        source[0] = relinked(source[0], "docs")


def _include_read(app: Sphinx, path: Path, parent: str, source: list[str]) -> None:
    source[0] = relinked(source[0], str((HERE / path).resolve().relative_to(ROOT).parent))


def _docstring(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    lines[:] = components.as_rst("\n".join(lines))


def _signature(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """Show a type alias in a union by its name; Sphinx shows its internal object."""
    return signature and re.sub(r"TypeAliasForwardRef\('(\w+)'\)", r"\1", signature), returns


def setup(app: Sphinx) -> None:
    app.connect("source-read", _source_read)
    app.connect("include-read", _include_read)
    app.connect("autodoc-process-signature", _signature)
    app.connect("autodoc-process-docstring", _docstring, priority=400)  # before napoleon
