"""The commands `openapi` and `asyncapi`: the printed text, the file and the errors."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from curae_lifecycle.cli.documents import document_text
from curae_lifecycle.cli.main import main
from tests.support.paths import ROOT

COMMANDS = ("openapi", "asyncapi")


@pytest.mark.parametrize("command", COMMANDS)
def test_openapi_or_asyncapi_output_equals_the_committed_file(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / f"docs/{command}.json").read_text(encoding="utf-8")
    assert main([command]) == 0
    assert capsys.readouterr().out == text
    assert document_text(command) == text


@pytest.mark.parametrize("command", COMMANDS)
def test_openapi_and_asyncapi_write_option_creates_the_folder(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "api" / "v1" / "document.json"
    for _ in range(2):
        assert main([command, "--write", str(file)]) == 0
    assert capsys.readouterr().out == ""
    assert file.read_text(encoding="utf-8") == document_text(command)


@pytest.mark.parametrize("command", COMMANDS)
def test_openapi_or_asyncapi_check_exits_1_and_keeps_stale_file(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "document.json"
    file.write_text("{}")
    assert main([command, "--write", str(file), "--check"]) == 1
    assert capsys.readouterr().err == "document.json is stale; run again without --check\n"
    assert file.read_text() == "{}"


def test_openapi_check_of_unreadable_file_exits_2_and_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "document.json"
    file.write_text("{}")

    def forbidden(*_: object, **__: object) -> str:
        raise PermissionError(errno.EACCES, "Permission denied", str(file))

    monkeypatch.setattr(Path, "read_text", forbidden)
    with pytest.raises(SystemExit, match="2"):
        main(["openapi", "--write", str(file), "--check"])
    assert capsys.readouterr().err.endswith(f"error: cannot read {file}: Permission denied\n")


def test_openapi_check_exits_1_and_calls_a_missing_file_stale(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["openapi", "--write", str(tmp_path / "none.json"), "--check"]) == 1
    assert capsys.readouterr().err == "none.json is stale; run again without --check\n"


@pytest.mark.parametrize(
    ("name", "why"), [("", "Is a directory"), ("x" * 300, "File name too long")]
)
def test_openapi_check_of_folder_or_too_long_path_exits_2(
    name: str, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / name
    with pytest.raises(SystemExit, match="2"):
        main(["openapi", "--write", str(file), "--check"])
    assert capsys.readouterr().err.endswith(f"error: cannot read {file}: {why}\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_openapi_or_asyncapi_check_without_write_option_exits_2(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([command, "--check"])
    said = capsys.readouterr().err
    assert said.endswith("error: --check needs --write FILE, the file to compare\n")
