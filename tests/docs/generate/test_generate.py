"""Tests of the command that writes and checks the generated pages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from docs.generate import __main__ as command
from docs.generate import typescript
from docs.generate.__main__ import GENERATORS, ROOT, main
from docs.generate.files import Files

HERE: Final = [name for name in GENERATORS if name != "typescript"]
"""The generators that need nothing but the package and the tests."""

LONG: Final = ("reference", "vector-schemas", "vectors")
"""Those of them that take a third of a second or more."""

TWO: Final = {
    "one": Files("docs/one", ("*.md", "*.svg"), lambda: {"a.md": "A\n", "b.svg": "B\n"}),
    "two": Files("", ("two.md",), lambda: {"two.md": "é\n"}),
}


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "GENERATORS", TWO)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow) if name in LONG else name for name in HERE],
)
def test_committed_generated_docs_are_current(name: str) -> None:
    assert GENERATORS[name].stale(ROOT) == [], f"run python -m docs.generate {name}"


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "tables",
        "problems",
        "traceability",
        "tour",
        *(pytest.param(name, marks=pytest.mark.heavy) for name in ("reference", "vectors")),
    ],
)
def test_docs_generate_check_reports_a_missing_or_edited_file(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([name, "--check"], tmp_path) == 1
    assert main([name], tmp_path) == 0
    assert main([name, "--check"], tmp_path) == 0
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.name for path in sorted(files)] == sorted(GENERATORS[name].build())
    changed = files[0]
    changed.write_bytes(changed.read_bytes()[:-2] + b"\n")
    capsys.readouterr()
    assert main([name, "--check"], tmp_path) == 1
    path = changed.relative_to(tmp_path).as_posix()
    assert capsys.readouterr().err == f"stale: {path}; to write: python -m docs.generate {name}\n"


@pytest.mark.usefixtures("two")
def test_docs_generate_without_a_name_runs_all_generators(tmp_path: Path) -> None:
    assert main([], tmp_path) == 0
    assert (tmp_path / "docs/one/a.md").read_text() == "A\n"
    assert (tmp_path / "two.md").read_bytes() == "é\n".encode()
    assert main(["--check"], tmp_path) == 0


@pytest.mark.usefixtures("two")
def test_docs_generate_check_names_every_stale_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([], tmp_path)
    (tmp_path / "docs/one/former.md").write_text("")
    (tmp_path / "docs/one/by-hand.json").write_text("")
    (tmp_path / "docs/one/a.md").unlink()
    (tmp_path / "two.md").write_text("e\n")
    assert main(["--check"], tmp_path) == 1
    assert capsys.readouterr().err == (
        "stale: docs/one/a.md, docs/one/former.md; to write: python -m docs.generate one\n"
        "stale: two.md; to write: python -m docs.generate two\n"
    )
    assert main(["--check", "--except", "one"], tmp_path) == 1
    assert main(["--check", "--except", "one", "--except", "two"], tmp_path) == 0


@pytest.mark.usefixtures("two")
def test_docs_generate_deletes_only_former_generated_files(tmp_path: Path) -> None:
    main([], tmp_path)
    (tmp_path / "docs/one/former.md").write_text("")
    (tmp_path / "docs/one/by-hand.json").write_text("")
    main(["one"], tmp_path)
    left = {path.name for path in (tmp_path / "docs/one").iterdir()}
    assert left == {"a.md", "b.svg", "by-hand.json"}


@pytest.mark.parametrize("arguments", [["weather"], ["--except", "weather"]])
def test_unknown_docs_generator_name_is_an_error(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([*arguments, "--check"])
    assert "no generator is named weather; they are tables, " in capsys.readouterr().err


def test_generating_typescript_definitions_without_npx_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SystemExit, match="npx is not installed"):
        typescript.files()


@pytest.mark.slow
def test_docs_generators_run_without_the_test_extra() -> None:
    names = [name for name in HERE if name not in {"worked", "seeded-bugs"}]
    blocked = (
        "import sys; sys.modules.update(pytest=None, hypothesis=None, rich=None, tests=None); "
    )
    program = (
        f"{blocked}from docs.generate.__main__ import main; raise SystemExit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "--check", *names],
        cwd=ROOT,
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
