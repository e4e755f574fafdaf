"""Tests of the site: its contents, its reference and the reviewer's questions."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import curae_lifecycle
from curae_lifecycle.service.rulebook import find_rule
from tests.support.paths import ROOT

DOCS = ROOT / "docs"
PACKAGE = Path(curae_lifecycle.__file__).parent
CONTENTS = (DOCS / "index.md").read_text(encoding="utf-8")
QUESTIONS = (DOCS / "questions.md").read_text(encoding="utf-8")
TESTS = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", QUESTIONS)


def site() -> ModuleType:
    """Load the Sphinx configuration, which works without Sphinx."""
    spec = importlib.util.spec_from_file_location("site_conf", DOCS / "conf.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    path = sys.path[:]
    spec.loader.exec_module(module)
    sys.path[:] = path
    return module


SITE = site()


# --- The contents ---------------------------------------------------------------------------


def listed(name: str) -> list[str]:
    folder = name.rpartition("/")[0]
    text = (DOCS / f"{name}.md").read_text(encoding="utf-8")
    pages = [page for _, pages in SITE.contents(text) for page in pages]
    return [f"{folder}/{page}".lstrip("/") for page in pages]


def test_every_docs_page_is_in_the_contents_exactly_once() -> None:
    pages = {path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md")}
    found = Counter(page for name in ("index", *SITE.LISTS) for page in listed(name))
    assert found == Counter(pages - {"index"})


def test_every_top_level_markdown_page_is_on_the_docs_site() -> None:
    assert set(SITE.TOP) == {path.name for path in ROOT.glob("*.md")}
    for file, name in SITE.TOP.items():
        shown = SITE.page(name, (DOCS / f"{name}.md").read_text(encoding="utf-8"))
        first = (ROOT / file).read_text(encoding="utf-8").partition("\n")[0]
        assert shown.startswith(first)


@pytest.mark.parametrize(
    ("name", "text", "shown"),
    [
        ("pages", "[a](../README.md#the-rules)", "[a](index.md#the-rules)"),
        ("tables/README", "[a](../../CHANGELOG.md)", "[a](../changelog.md)"),
        ("pages", "[a](../tests/docs/site/test_site.py)", "[a](../tests/docs/site/test_site.py)"),
        ("pages", "[a](https://example.com/README.md)", "[a](https://example.com/README.md)"),
        ("pages", "[a](gone.md)", "[a](gone.md)"),
    ],
)
def test_docs_site_turns_file_links_into_page_links(name: str, text: str, shown: str) -> None:
    assert SITE.on_site(name, text, str(Path("docs", name).parent)) == shown


def test_docs_front_page_links_point_into_the_site() -> None:
    front = SITE.page("index", (DOCS / "index.md").read_text(encoding="utf-8"))
    assert "](docs/" not in front
    assert "](questions.md)" in front
    assert "# curae_lifecycle" in front.partition("\n")[0]


def test_only_rule_table_pictures_become_inline_svg_on_the_site() -> None:
    shown = SITE.page("rules", "# A\n\n![words](tables/connection.svg)\n\nB\n")
    picture = (DOCS / "tables/connection.svg").read_text(encoding="utf-8")
    assert shown.startswith("# A\n\n```{raw} html\n<div")
    assert picture in shown
    assert "![words]" not in shown
    for other in ("![a](benchmarks.svg)", "![a](https://example.com/a.svg)", "a ![a](a.svg)"):
        assert SITE.page("rules", f"{other}\n") == f"{other}\n"


# --- Checks of a built site -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('<link rel="canonical" href="https://docs.example/a.html">', ""),
        ('<a href="b.html">', "a.html leads to b.html, which is not there"),
        ('<a href="#x">', "a.html leads to a.html#x, which is not there"),
        ('<a href="a.html#x">', "a.html leads to a.html#x, which is not there"),
        ('<img src="https://example.com/a.png">', "a.html loads https://example.com/a.png"),
        ('<link href="//example.com/a.css">', "a.html loads //example.com/a.css"),
        (f"{ROOT}/docs", "a.html holds a path of this machine"),
        ('<p id="x"><a href="#x"><a href="https://example.com/"><a href="mailto:a@b.c">', ""),
        ('<img src="data:image/png;base64,AA=="><a href="a.html?x#y"><b id="y">', ""),
    ],
)
def test_docs_site_check_reports_a_fault_of_a_built_page(
    tmp_path: Path, body: str, fault: str
) -> None:
    (tmp_path / "a.html").write_text(body)
    assert SITE.faults(tmp_path) == ([fault] if fault else [])


def test_docs_site_has_an_edit_link_only_if_repository_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("CURAE_SITE_URL", "CURAE_REPOSITORY_URL"):
        monkeypatch.delenv(name, raising=False)
    unknown = site()
    assert (unknown.html_baseurl, unknown.html_theme_options) == ("", {})
    monkeypatch.setenv("CURAE_SITE_URL", "https://docs.example/")
    monkeypatch.setenv("CURAE_REPOSITORY_URL", "https://code.example/curae/")
    known = site()
    assert known.html_baseurl == "https://docs.example/"
    link = known.html_theme_options["source_edit_link"].format(filename="why.md")
    assert link == "https://code.example/curae/edit/main/docs/why.md"


def test_docs_site_check_reports_a_font_from_another_host(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text("@font-face { src: url(https://example.com/a.woff) }")
    assert SITE.faults(tmp_path) == ["a.css loads from elsewhere"]
    (tmp_path / "a.css").write_text("@font-face { src: url(a.woff) }")
    assert SITE.faults(tmp_path) == []


# --- The reference --------------------------------------------------------------------------

ROOMS = ("rules", "service", "web", "stores", "replay", "testing", "servers")


def modules(room: str) -> Iterator[tuple[str, str]]:
    """Yield every documented module of a package with the first line of its docstring."""
    for path in sorted((PACKAGE / room).rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        # Of a package for test suites only its `__init__` is public; migrations are for Django.
        inner = room == "testing" and len(parts) > 2 and path.name != "__init__.py"
        tree = ast.parse(path.read_text(encoding="utf-8"))
        empty = path.name == "__init__.py" and (len(tree.body) == 1 or len(parts) == 2)
        if not inner and not empty and "migrations" not in parts:
            name = ".".join(part for part in parts if part != "__init__")
            yield f"curae_lifecycle.{name}", (ast.get_docstring(tree) or "").partition("\n")[0]


@pytest.mark.slow
@pytest.mark.parametrize("room", ROOMS)
def test_api_reference_lists_every_module_with_its_first_line(room: str) -> None:
    text = (DOCS / f"reference/{room}.md").read_text(encoding="utf-8")
    assert re.findall(r"^- `([\w.]+)`: (.*)$", text, re.MULTILINE) == list(modules(room))


def test_api_reference_has_every_package_and_public_name() -> None:
    assert {path.stem for path in (DOCS / "reference").iterdir()} == {"README", *ROOMS}
    rows = re.findall(r"^\| {py:obj}`(\w+) <(.*)>` \|", SITE.face(), re.MULTILINE)
    assert [name for name, _ in rows] == sorted(curae_lifecycle._HOMES)
    for name, home in rows:
        module = home.rpartition(".")[0]
        room = module.split(".")[1]
        assert f"- `{module}`:" in (DOCS / f"reference/{room}.md").read_text(encoding="utf-8")
        assert getattr(curae_lifecycle, name) is getattr(sys.modules[module], name)


# --- The questions --------------------------------------------------------------------------


QUESTION_COUNT = 14


def test_readme_and_docs_contents_link_to_the_questions_page() -> None:
    headings = re.findall(r"^## (.*)$", QUESTIONS, re.MULTILINE)
    assert len(headings) == QUESTION_COUNT
    assert all(heading.endswith("?") for heading in headings)
    assert "](docs/questions.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert "](questions.md)" in CONTENTS


def test_each_answer_on_the_questions_page_begins_with_text() -> None:
    for answer in QUESTIONS.split("\n## ")[1:]:
        assert re.match(r".*\?\n\n[A-Z0-9]", answer), answer


def test_questions_page_says_what_is_never_sent_or_not_proven() -> None:
    for question, least in (("What is never on the wire?", 9), ("What is not proven?", 11)):
        answer = QUESTIONS.partition(f"\n## {question}\n")[2].partition("\n## ")[0]
        assert len(re.findall(r"^- (?!Rule|Test)", answer, re.MULTILINE)) >= least


def test_each_docs_question_has_rules_a_test_and_a_program() -> None:
    *answered, last = QUESTIONS.split("\n## ")[1:]
    for answer in answered:
        assert re.search(r"^- Rules?: \[`", answer, re.MULTILINE), answer
        assert re.search(r"^- Test: `tests/", answer, re.MULTILINE), answer
        assert "assert" in answer.partition("```python\n")[2], answer
    assert "```" not in last


def test_questions_docs_page_rule_links_resolve() -> None:
    cited = re.findall(r"\[`([\w.-]+)`\]\(tables/([\w-]+)\.md#([\w.-]+)\)", QUESTIONS)
    assert len(cited) == QUESTIONS.count("](tables/")
    for name, table, anchor in cited:
        found = find_rule(name)
        assert found is not None, name
        assert (found.table.name, name) == (table, anchor)


@pytest.mark.slow
def test_tests_cited_by_the_questions_docs_page_exist() -> None:
    assert len(TESTS) == QUESTIONS.count("`tests/")
    for file, name in TESTS:
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        assert name in {each.name for each in tree.body if isinstance(each, ast.FunctionDef)}, name


def test_programs_of_the_questions_docs_page_run() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", QUESTIONS, re.MULTILINE | re.DOTALL)
    namespace: dict[str, object] = {}
    for block in blocks:
        exec(block, namespace)  # noqa: S102 - the page's own code
    assert len(blocks) == QUESTION_COUNT


@pytest.mark.heavy
def test_tests_cited_by_the_questions_docs_page_pass() -> None:
    names = [f"{file}::{name}" for file, name in TESTS]
    told = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "0", "-q", "-p", "no:cacheprovider", *names],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stdout
    assert re.search(r"^\d+ passed", told.stdout.splitlines()[-1]), told.stdout


# --- Every Python block of every page runs ---------------------------------------------------

RUN_BY = {
    "README.md": "tests/docs/test_docs.py",
    "docs/ahead.md": "tests/docs/pages/test_tasks.py",
    "docs/conformance.md": "tests/testing/conformance/test_kit.py",
    "docs/databases.md": "tests/docs/pages/test_django_and_redis.py",
    "docs/extending.md": "tests/docs/extending/test_extending.py",
    "docs/frameworks.md": "tests/docs/pages/test_frameworks.py",
    "docs/howto.md": "tests/docs/examples/test_examples.py",
    "docs/observing.md": "tests/docs/pages/test_observing.py",
    "docs/operating.md": "tests/cli/test_operating.py",
    "docs/outbox.md": "tests/stores/sql/test_outbox_messages.py",
    "docs/questions.md": "tests/docs/site/test_site.py",
    "docs/replay.md": "tests/docs/pages/test_tasks.py",
    "docs/servers.md": "tests/servers/test_run.py",
    "docs/stores.md": "tests/docs/pages/test_stores.py",
    "docs/testing-the-library.md": "tests/docs/site/test_site.py",
    "docs/testing.md": "tests/docs/test_docs.py",
    "docs/tutorial.md": "tests/docs/tutorial.py",
    "docs/upgrades.md": "tests/docs/examples/test_examples.py",
}
"""Each page with Python, and the tests that run its blocks."""


def test_every_docs_page_with_python_has_a_test_that_runs_it() -> None:
    pages = [*ROOT.glob("*.md"), *DOCS.rglob("*.md")]
    with_python = {
        page.relative_to(ROOT).as_posix()
        for page in pages
        if "\n```python\n" in page.read_text(encoding="utf-8")
    }
    assert with_python == RUN_BY.keys()
    for page, file in RUN_BY.items():
        tests = (ROOT / file).read_text(encoding="utf-8")
        assert Path(page).name in tests
        assert re.search(r"\b(?:exec|compile)\(", tests)


@pytest.mark.slow
def test_code_blocks_in_testing_the_library_md_run() -> None:
    text = (DOCS / "testing-the-library.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    for block in blocks:
        exec(block, {})  # noqa: S102 - the page's own code
    assert len(blocks) == 2
