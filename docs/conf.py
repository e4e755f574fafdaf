"""Configure Sphinx for the site, and check the pages that it builds.

The law of this module: **a page is written once, for GitHub and for the site**. Links between files
become links between pages, the files of the top folder become pages, too, and the site's contents
come from the lists of pages in `index.md`. `python -m sphinx -W --keep-going -b html docs OUT` builds
the site without a network. The build fails if a link or an anchor has no target, if a page would
load anything from another host, or if a page contains a path of this machine.
"""

from __future__ import annotations

import os
import re
import sys
from enum import Enum
from html import unescape
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from sphinx.application import Sphinx

DOCS: Final = Path(__file__).resolve().parent
ROOT: Final = DOCS.parent
sys.path.insert(0, str(ROOT))

from curae_lifecycle import __version__ as release  # noqa: E402 - the folder is added above
from docs.summaries import (  # noqa: E402 - the same
    PICTURE,
    PROJECT,
    llms_text,
    meta_tags,
    summaries,
)

project = "curae_lifecycle"
author = "The curae_lifecycle authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_build"]
# Docstrings mark code with single backticks.
default_role = "code"
myst_heading_anchors = 6
# Else the table of contents of each page would list every object of the reference.
toc_object_entries = False
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"curae_lifecycle {release}"
# The addresses of the site and of its source, if they are known: each page then names its address,
# and links to its own file.
html_baseurl = os.environ.get("CURAE_SITE_URL", "")
_REPOSITORY: Final = os.environ.get("CURAE_REPOSITORY_URL", "").rstrip("/")
html_theme_options = (
    {"source_edit_link": _REPOSITORY + "/edit/main/docs/{filename}"} if _REPOSITORY else {}
)
html_logo = "logo.svg"
html_favicon = "logo.svg"
# The copy button of a console example copies the commands without their prompts.
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True
copybutton_only_copy_prompt_lines = True
copybutton_line_continuation_character = "\\"
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_static_path = [
    *("site.css", "site.js", "explorer/explorer.css", "explorer/explorer.js"),
    PICTURE,
]
html_css_files = ["site.css"]
html_search_scorer = str(Path(__file__).parent / "search.js")
html_js_files = [("site.js", {"defer": "defer"})]
# These files are published as they are, for other tools.
html_extra_path = ["openapi.json", "asyncapi.json", "api.d.ts"]

TOP: Final = {
    "README.md": "index",
    "CHANGELOG.md": "changelog",
    "CONTRIBUTING.md": "contributing",
    "SECURITY.md": "security",
}
"""The pages of the site for the files of the top folder."""

LISTS: Final = (
    *("tables/README", "problems/README", "reference/README", "api/README"),
    "testing-the-library",
)
"""The pages that list the other pages of their folder."""

SAME_NAMES: Final = frozenset(
    {"stores.sql.drivers", "stores.sql.loading", "stores.rows"}
    | {"stores.redis.clients", "stores.sql.statement"}
)
"""Modules that are left out of the index, since they define a `Connection`, a `Row` or a `Value`.

A type with one of the first two names links to the class of the rules."""

_LINK: Final = re.compile(r"\]\((?!https?:|mailto:)([^)\s#]+)(#[^)\s]*)?\)")
_ANCHOR: Final = re.compile(r'<a id="([^"]+)"></a>')
_SUMMARIES: Final = summaries((DOCS / "index.md").read_text(encoding="utf-8"))
_TAG: Final = re.compile(r"<[^>]*>")
_PICTURE: Final = re.compile(r"^!\[[^]]*\]\((?!https?:)(\S+\.svg)\)$", re.MULTILINE)


def contents(text: str) -> list[tuple[str, list[str]]]:
    """Return the pages that a list of links names, by the heading above them."""
    found: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if line.startswith("#"):
            found.append((line.lstrip("# "), []))
        elif line.startswith(("- [", "| [")) and found:
            page = re.search(r"\]\(([\w/.-]+)\.md\)", line)
            if page is not None:
                found[-1][1].append(page[1])
    return [(caption, pages) for caption, pages in found if pages]


def on_site(name: str, text: str, folder: str = "docs") -> str:
    """Convert the links to files of the top folder in a page's text to links to their pages.

    Args:
        name: The page, without its ending.
        text: The text of its file.
        folder: The folder of that file, seen from the top; it may be another than the page's.
    """
    here = str(PurePosixPath("docs", name).parent)

    def moved(link: re.Match[str]) -> str:
        target = normpath(f"{folder}/{link[1]}")
        if not (ROOT / target).exists():
            return link[0]
        target = f"docs/{TOP[target]}.md" if target in TOP else target
        return f"]({relpath(target, here)}{link[2] or ''})"

    return _LINK.sub(moved, text)


def page(name: str, text: str) -> str:
    """Return the Markdown of a page for the site, from the text of its file."""
    top = next((file for file, there in TOP.items() if there == name), None)
    folder = str(PurePosixPath("docs", name).parent)
    shown = on_site(name, text, folder)
    if top is not None:
        shown = on_site(name, (ROOT / top).read_text(encoding="utf-8"), ".")
    shown = shown.replace("<!-- tabs -->", '<div class="tabs"></div>')
    shown = _PICTURE.sub(lambda found: drawn(name, found), shown)
    own = PurePosixPath(name).name
    for anchor in _ANCHOR.findall(shown):
        shown = shown.replace(f"](#{anchor})", f"]({own}.md#{anchor})")
    if name == "index":
        shown += "\n" + re.sub("^#", "##", on_site(name, text), flags=re.MULTILINE)
    if name == "reference/README":
        shown += "\n" + face()
    elif name.startswith("reference/"):
        shown = described(shown)
    trees = contents(text) if name == "index" or name in LISTS else []
    for caption, pages in trees:
        captioned = f":caption: {caption}\n" if name == "index" else ""
        listed = "\n".join(pages)
        shown += f"\n```{{toctree}}\n:hidden:\n{captioned}\n{listed}\n```\n"
    return shown


def drawn(name: str, shown: re.Match[str]) -> str:
    """Insert a picture into its page, so that it is light or dark as the page is."""
    text = (ROOT / normpath(f"docs/{name}/../{shown[1]}")).read_text(encoding="utf-8")
    if not text.startswith('<svg class="picture"'):
        return shown[0]
    return f'```{{raw}} html\n<div class="drawn" tabindex="0">{text}</div>\n```'


def described(text: str) -> str:
    """Add the docstrings of each listed module to a page of the reference."""
    modules = re.findall(r"^- `curae_lifecycle\.([\w.]+)`", text, re.MULTILINE)
    for name in modules:
        listed = f"- `curae_lifecycle.{name}`"
        text = text.replace(f"{listed}:", f"- [`{name}`](#{name.replace('.', '')}):")
        unindexed = "   :no-index:\n" if name in SAME_NAMES else ""
        text += f"\n## {name}\n\n```{{eval-rst}}\n.. automodule:: curae_lifecycle.{name}\n{unindexed}```\n"
    return text


def face() -> str:
    """Return a table of the package's exported names with the module that describes each."""
    import curae_lifecycle as package  # noqa: PLC0415 - the tests read this file from a wheel, too

    homes = {name: home for home, names in package._MODULES.items() for name in names}  # noqa: SLF001
    lines = ["| name | described in |", "| --- | --- |"]
    lines += [
        f"| {{py:obj}}`{name} <curae_lifecycle.{homes[name]}.{name}>` "
        f"| `curae_lifecycle.{homes[name]}` |"
        for name in sorted(homes)
    ]
    return "\n".join(lines) + "\n"


def _read(_: Sphinx, name: str, source: list[str]) -> None:
    source[0] = page(name, source[0])


def _anchors(app: Sphinx, _: object) -> None:
    # Some anchors are written as HTML, so that they work on GitHub, too.
    name = app.env.docname
    text = page(name, Path(app.env.doc2path(name)).read_text(encoding="utf-8"))
    slugs = app.env.metadata[name].setdefault("myst_slugs", {})
    for anchor in _ANCHOR.findall(text):
        slugs.setdefault(anchor, (0, anchor, ""))


def _explorer(app: Sphinx) -> None:
    if app.builder.name == "html":
        from docs.explorer.answers import script  # noqa: PLC0415 - the tests need nothing of it

        data = Path(app.outdir, "_static", "explorer-data.js")
        data.parent.mkdir(exist_ok=True)
        data.write_text(script(), encoding="utf-8")


def _scripts(app: Sphinx, name: str, *_: object) -> None:
    # Separate files, since a page that is opened from a disk may load scripts but no data.
    if name == "explorer":
        app.add_css_file("explorer.css")
        app.add_js_file("explorer-data.js", loading_method="defer")
        app.add_js_file("explorer.js", loading_method="defer")


def _describe(
    _: Sphinx, name: str, _template: str, context: dict[str, object], _doctree: object
) -> None:
    title = _TAG.sub("", str(context.get("title", ""))) or "curae_lifecycle"
    summary = _SUMMARIES.get(name, f"{title}: {PROJECT}")
    if name in TOP.values():
        # The text is in a file of the top folder, so the link for editing would be wrong.
        context["page_source_suffix"] = ""
    tags = meta_tags(unescape(title), summary, html_baseurl)
    context["metatags"] = f"{context.get('metatags') or ''}{tags}"


def _skips(
    _: Sphinx, _what: str, _name: str, value: object, _skip: object, _options: object
) -> bool | None:
    # The members of an enumeration are always shown, even without docstrings of their own.
    return False if isinstance(value, Enum) else None


class _Page(HTMLParser):
    """The ids, the links and the loaded URLs of a built page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect the ids, links and URLs of an element."""
        if tag == "link" and ("rel", "canonical") in attrs:
            # The page's own address, which browsers do not load.
            return
        for name, value in attrs:
            if name == "id" and value:
                self.ids.add(value)
            elif name == "href" and value:
                (self.links if tag == "a" else self.loads).append(value)
            elif name in {"src", "srcset", "action", "poster", "data"} and value:
                self.loads.append(value)


def faults(out: Path) -> list[str]:
    """Return the faults of a built site: broken links, foreign hosts, paths of this machine."""
    pages = {
        path.relative_to(out).as_posix(): _Page(path.read_text(encoding="utf-8"))
        for path in out.rglob("*.html")
    }
    found: list[str] = []
    for name, shown in pages.items():
        for link in shown.links + shown.loads:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                if link in shown.loads and parts.scheme != "data":
                    found.append(f"{name} loads {link}")
                continue
            target = normpath(f"{name}/../{unquote(parts.path)}") if parts.path else name
            anchor = unquote(parts.fragment)
            if not (out / target).is_file():
                found.append(f"{name} leads to {target}, which is not there")
            elif anchor and target in pages and anchor not in pages[target].ids:
                found.append(f"{name} leads to {target}#{anchor}, which is not there")
    for path in (each for each in out.rglob("*") if each.is_file()):
        text = path.read_bytes()
        name = path.relative_to(out).as_posix()
        if path.suffix == ".css" and re.search(rb"(?:@import|url\()\s*[\"']?(?:https?:)?//", text):
            found.append(f"{name} loads from elsewhere")
        if str(ROOT).encode() in text and ".doctrees" not in path.parts:
            found.append(f"{name} holds a path of this machine")
    return sorted(set(found))


def _finished(app: Sphinx, error: Exception | None) -> None:
    if error is None and app.builder.name == "html":
        from docs.mending import mend  # noqa: PLC0415 - the tests need nothing of it

        index = (DOCS / "index.md").read_text(encoding="utf-8")
        Path(app.outdir, "llms.txt").write_text(llms_text(index), encoding="utf-8")
        mend(Path(app.outdir))
        wrong = faults(Path(app.outdir))
        if wrong:
            raise SystemExit("\n".join(["the site is not good:", *wrong]))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register this module's functions with Sphinx, which may call them in several processes."""
    app.connect("builder-inited", _explorer)
    app.connect("html-page-context", _scripts)
    app.connect("html-page-context", _describe)
    app.connect("source-read", _read)
    app.connect("doctree-read", _anchors)
    app.connect("autodoc-skip-member", _skips)
    app.connect("build-finished", _finished)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
