"""Tests that the edits of `docs/extending.md` change only the files that they name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.extending import page

TRIGGER_FILES = [
    "curae_lifecycle/rules/triggers.py",
    "curae_lifecycle/service/facts/declined.py",
    "curae_lifecycle/service/facts/registry.py",
]
OPERATION_FILE = "curae_lifecycle/service/operations/relabel.py"


@pytest.mark.heavy
def test_adding_a_trigger_changes_three_package_files(tmp_path: Path) -> None:
    copy = page.copy_package(tmp_path)
    assert page.apply_section(copy, "A trigger") == TRIGGER_FILES
    page.run_check(copy, "check_trigger")


@pytest.mark.heavy
def test_adding_a_problem_code_changes_one_package_file(tmp_path: Path) -> None:
    copy = page.copy_package(tmp_path)
    assert page.apply_section(copy, "A problem") == ["curae_lifecycle/rules/problems.py"]
    page.run_check(copy, "check_problem")


@pytest.mark.heavy
def test_adding_a_refusal_reason_changes_one_package_file(tmp_path: Path) -> None:
    copy = page.copy_package(tmp_path)
    # The page's reason belongs to the problem and the trigger above it.
    page.apply_section(copy, "A trigger")
    page.apply_section(copy, "A problem")
    assert page.apply_section(copy, "A reason") == ["curae_lifecycle/rules/triggers.py"]
    page.run_check(copy, "check_reason")


@pytest.mark.heavy
def test_adding_an_operation_changes_two_package_files(tmp_path: Path) -> None:
    copy = page.copy_package(tmp_path)
    before = page.digests(copy)
    page.write_new(copy / OPERATION_FILE, page.blocks("An operation")[0].text)
    page.apply_section(copy, "An operation")
    after = page.digests(copy)
    changed = sorted(path for path in after if after[path] != before.get(path))
    assert changed == ["curae_lifecycle/service/operations/registry.py", OPERATION_FILE]
    page.run_check(copy, "check_operation")


def test_extending_docs_page_names_each_file_to_edit() -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    for path in (*TRIGGER_FILES, OPERATION_FILE):
        assert path in text


# --- The test itself can fail ------------------------------------------------------------------


@pytest.mark.heavy
def test_check_of_the_trigger_recipe_fails_if_an_edit_is_missing(tmp_path: Path) -> None:
    copy = page.copy_package(tmp_path)
    page.apply_section(copy, "A trigger")
    registry = copy / "curae_lifecycle/service/facts/registry.py"
    registry.write_text(registry.read_text("utf-8").replace("    Declined,\n", ""), "utf-8")
    with pytest.raises(AssertionError, match="KeyError"):
        page.run_check(copy, "check_trigger")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("start", "error"),
    [
        ("    DECLINE: lambda", "previews"),
        pytest.param(
            "    Row((DECLINE,        LAPSED)", "no rule decides a cell", marks=pytest.mark.heavy
        ),
    ],
    ids=["preview", "row"],
)
def test_trigger_without_preview_function_or_row_fails_at_import(
    tmp_path: Path, start: str, error: str
) -> None:
    copy = page.copy_package(tmp_path)
    page.apply_section(copy, "A trigger")
    table = copy / "curae_lifecycle/rules/triggers.py"
    lines = table.read_text("utf-8").splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith(start)]
    assert len(kept) == len(lines) - 1
    table.write_text("".join(kept), "utf-8")
    with pytest.raises(AssertionError, match=error):
        page.run_check(copy, "check_trigger")


def test_docs_diff_hunk_that_does_not_apply_raises(tmp_path: Path) -> None:
    copy = page.copy_package(tmp_path)
    page.apply_section(copy, "A trigger")
    with pytest.raises(AssertionError, match="0 places fit"):
        page.apply_section(copy, "A trigger")
