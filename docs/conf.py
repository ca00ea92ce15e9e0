"""How Sphinx builds these pages (`sphinx-build -W -b html docs build/docs`); it loads nothing from the web."""

import os
import re
from pathlib import Path

from ophyd import Component, Device
from sphinx.application import Sphinx

DOCS = Path(__file__).parent
ROOT = DOCS.parent

project = "stins-ophyd"
author = "the stins-ophyd developers"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
# The docstrings write a name as `name`, as Markdown does.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 90
# This list is for those who read in the repository; here index.md has its place.
exclude_patterns = ["README.md"]
myst_heading_anchors = 4

html_theme = "pydata_sphinx_theme"
html_title = project
html_theme_options = {"secondary_sidebar_items": ["page-toc"], "show_prev_next": False}
html_show_copyright = False
html_copy_source = False

#: Pages that stand beside the code they are about, and where they are here.
BESIDE_THE_CODE = {
    "reference/recorder": ROOT / "recorder" / "README.md",
    "reference/acquirers": ROOT / "acquirers" / "README.md",
}
_LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")


def read_page(app: Sphinx, page: str, source: list[str]) -> None:
    """Takes a page from where it stands, and leads each of its links to a page of this site."""
    path = BESIDE_THE_CODE.get(page, DOCS / f"{page}.md")
    app.env.note_dependency(str(path))

    def lead(link: re.Match[str]) -> str:
        target = (path.parent / link[1]).resolve()
        if not target.exists():  # Python that looks like a link; of a link Sphinx says that it leads nowhere
            return link[0]
        return f"]({os.path.relpath(_page_of(target), DOCS / Path(page).parent)}"

    source[0] = _LINK.sub(lead, path.read_text())


def _page_of(path: Path) -> Path:
    if path.is_dir():
        return path / "index.md"
    return next((DOCS / f"{page}.md" for page, stands in BESIDE_THE_CODE.items() if stands == path), path)


def read_docstring(_app: Sphinx, kind: str, _name: str, what: object, _options: object, lines: list[str]) -> None:
    """Tells of a device's signals; a text with a colon stays one, of which napoleon would make a type."""
    if kind in ("attribute", "property", "data") and lines and ": " in lines[0]:
        head, _, rest = lines[0].partition(": ")
        lines[:1] = [f"{head}:", rest]
    elif kind == "class" and issubclass(what, Device):
        lines += ["Signals:", "", *map(_signal, what._sig_attrs.items()), ""]


def _signal(named: tuple[str, Component]) -> str:
    name, component = named
    doc = "" if component.doc.startswith("Component attribute") else f": {component.doc}"
    return f"- `{name}` ({component.kind.name}){doc}"


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", read_page)
    # Before napoleon, which makes reStructuredText of them.
    app.connect("autodoc-process-docstring", read_docstring, priority=400)
