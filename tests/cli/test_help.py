"""The help of the commands: the whole text that a user reads."""

from __future__ import annotations

import pytest

from curae_lifecycle.cli.main import main
from tests.cli.help_texts import HELP


@pytest.mark.parametrize("command", HELP)
def test_help_of_a_command_is_the_expected_text(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    with pytest.raises(SystemExit, match="0"):
        main([*command.split(), "--help"])
    # Python's releases break the lines of a usage at different words.
    assert capsys.readouterr().out.split() == HELP[command].split()
