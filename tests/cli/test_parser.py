"""Parsers of the command line: defaults in help, suggestions and usage in errors."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import pytest

from curae_lifecycle.cli.main import COMMANDS, main
from curae_lifecycle.cli.parser import Parser, suggestion
from curae_lifecycle.rules.problems import ProblemCode


def all_parsers() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Yield the parser of each command and subcommand, by its name."""
    for name, command in COMMANDS.items():
        parser = Parser(prog=name)
        command.add_options(parser)
        waiting: list[argparse.ArgumentParser] = [parser]
        while waiting:
            each = waiting.pop()
            yield each.prog, each
            for action in each._actions:
                if isinstance(action, argparse._SubParsersAction):
                    waiting += action.choices.values()


PARSERS = dict(all_parsers())


@pytest.mark.parametrize("name", PARSERS)
def test_help_of_a_command_prints_every_default(name: str) -> None:
    for action in PARSERS[name]._actions:
        assert action.help or isinstance(action, argparse._SubParsersAction), action
        if action.default and action.default != argparse.SUPPRESS:
            assert "(default: %(default)s)" in str(action.help), action


def test_help_never_prints_the_value_of_database_url(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://user:a-secret@host/name")
    for arguments in (["keys", "list"], ["outbox"], ["facts"], ["database", "create"]):
        with pytest.raises(SystemExit):
            main([*arguments, "--help"])
    shown = capsys.readouterr().out
    assert "DATABASE_URL" in shown
    assert "a-secret" not in shown


def error_of(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["tabels"], "tables"),
        (["Tour"], "tour"),
        (["keys", "regster"], "register"),
        (["tables", "conection.revoke.pending"], "connection.revoke.pending"),
        (["tables", "idempotencey"], "idempotency"),
        (["tables", "already_activ"], "ALREADY_ACTIVE"),
        (["problems", "not_found"], "NOT_FOUND"),
        (["tables", "--fromat", "md"], "--format"),
        (["tables", "--format", "markdwn-json"], None),
        (["check", "m:s", "--only", "race"], "races"),
        (["zzz"], None),
        (["problems", "zzz"], None),
    ],
)
def test_misspelt_command_or_option_gets_a_suggestion(
    arguments: list[str], meant: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    error = error_of(arguments, capsys)
    if meant is None:
        assert "did you mean" not in error
    else:
        assert f"; did you mean {meant}?\n" in error


@pytest.mark.parametrize(
    ("arguments", "message", "meant"),
    [
        (["tabels"], "argument COMMAND: invalid choice: 'tabels' (choose from ", "tables"),
        (["check", "m:s", "--only", "race"], "argument --only: invalid choice: 'race'", "races"),
        (["tables", "--fromat", "md"], "unrecognized arguments: --fromat; ", "--format"),
    ],
)
def test_suggestion_comes_after_the_error_message(
    arguments: list[str], message: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = error_of(arguments, capsys).partition(" error: ")[2]
    assert said.startswith(message)
    assert said.endswith(f"; did you mean {meant}?\n")


def test_did_you_mean_hint_replaces_pythons_maybe_you_meant(
    capsys: pytest.CaptureFixture[str],
) -> None:
    message = "invalid choice: 'tabels', maybe you meant 'tables'? (choose from 'tour', 'tables')"
    with pytest.raises(SystemExit):
        Parser(prog="p").error(message)
    shown = "invalid choice: 'tabels' (choose from 'tour', 'tables'); did you mean tables?"
    assert capsys.readouterr().err == f"usage: p [-h]\np: error: {shown}\n"


def test_suggestion_ignores_case_and_is_empty_without_choices() -> None:
    assert suggestion("NOT_FUOND", ProblemCode) == "; did you mean NOT_FOUND?"
    assert suggestion("x", []) == ""


@pytest.mark.parametrize(
    ("arguments", "usage"),
    [
        (["tables", "zzz"], "tables [-h]"),
        (["tables", "--zzz"], "tables [-h]"),
        (["keys", "list", "--zzz"], "keys list [-h]"),
        (["keys", "list", "--database", ""], "keys list [-h]"),
        (["keys", "narrow", "--database", "x"], "keys narrow [-h]"),
        (["check", "nothing"], "check [-h]"),
        (["outbox", "--database", "oracle://x"], "outbox [-h]"),
        (["openapi", "--check"], "openapi [-h]"),
    ],
)
def test_error_prints_the_usage_of_the_command_that_failed(
    arguments: list[str], usage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert error_of(arguments, capsys).startswith(f"usage: python -m curae_lifecycle {usage}")
