"""Line endings in logs and in the output of `replay`.

Only a line feed ends a line of a log. `str.splitlines` in Python, many editors and some tools also
end lines at other characters. `ODD` lists them; no answer may contain one unescaped.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from curae_lifecycle.cli import terminal
from curae_lifecycle.cli.main import main
from curae_lifecycle.service.json_schema import Json
from tests.support.commands import run
from tests.support.terminals import terminal_of

ACCOUNT: Final = "d8c60791-7301-441c-98e8-5bea9a162d9b"
AT: Final = "2026-01-01T00:00:00Z"

WITHOUT_ESCAPE: Final = {
    "line separator": "\u2028",
    "paragraph separator": "\u2029",
    "next line": "\x85",
    "byte order mark": "\ufeff",
    "no-break space": "\xa0",
    "delete": "\x7f",
    "noncharacter": "\uffff",
    "beyond the first plane": "\U0001f600",
}
"""Characters that a JSON string may contain unescaped."""

WITH_ESCAPE: Final = {
    "form feed": "\x0c",
    "vertical tab": "\x0b",
    "carriage return": "\r",
    "line feed": "\n",
    "both": "\r\n",
    "null": "\0",
    "file separator": "\x1c",
    "group separator": "\x1d",
    "record separator": "\x1e",
    "unit separator": "\x1f",
    "escape": "\x1b[2K",
    "high surrogate": "\ud800",
    "low surrogate": "\udc00",
    "reversed surrogates": "\udc00\ud800",
}
"""Characters that a JSON string must escape; a lone surrogate has no UTF-8 bytes."""

ODD: Final = {**WITHOUT_ESCAPE, **WITH_ESCAPE}


# --- Logs -----------------------------------------------------------------------------------


def line(members: dict[str, Json], *, escaped: bool = True) -> bytes:
    text = json.dumps({"at": AT, **members}, ensure_ascii=escaped)
    return text.encode("utf-8", "surrogatepass")


def registered(app: str = "app-1", api_key: str = "cae_live_k1") -> dict[str, Json]:
    owner: dict[str, Json] = {"appId": app, "customerAccountId": ACCOUNT}
    return {"register": {"apiKey": api_key, "scopes": ["connection:write"], **owner}}


def asked(
    path: str, body: Json, *, key: str = "k", method: str = "POST", name: str = "x-odd"
) -> dict[str, Json]:
    headers: Json = {
        "Authorization": "Bearer cae_live_k1",
        "Idempotency-Key": key,
        name: ["plain", key],
    }
    return {"method": method, "path": f"/api/sdk/v1/{path}", "headers": headers, "body": body}


def created(user: str, key: str) -> dict[str, Json]:
    return asked("connections", {"appUserId": user, "dataPackages": ["labs"]}, key=key)


def holding(odd: str, number: int) -> Iterator[dict[str, Json]]:
    """Yield every kind of line, with an odd text in each of its strings."""
    text = f"a{odd}z"
    name = f"c{number}"
    url: Json = {"nextAction": {"type": "open_webview", "url": f"https://x/{text}"}}
    yield registered(app=text, api_key=f"cae_live_{number}")
    yield registered(api_key=text)
    yield {"as": name, "request": created("user", f"k-{number}"), "response": {"body": url}}
    yield {"as": text, "request": created(text, f"u-{number}")}
    yield {"request": asked(f"connections/{text}", None, method="GET")}
    yield {"request": asked("connections", text, key=f"t-{number}")}
    yield {"request": asked("connections", {text: text}, method=text)}
    yield {"request": asked("curae-connect/initiate", {"appUserId": "u"}, key=text, name=text)}
    about: dict[str, Json] = {"connectionId": f"{{{name}.connection.id}}"}
    yield {"fact": {"type": "connection.authorize", **about}}
    yield {"fact": {"type": "connection.require_action", "reason": text, **about}}
    yield {"request": asked(f"connections/{{{name}.connection.id}}", None, method="GET")}
    yield {"ask": {"type": "access", "dataPackage": text, **about}}
    yield {"ask": {"type": "access", "dataPackage": "labs", "connectionId": f"{{{text}.x.y}}"}}
    yield {"fact": {"type": text, **about}}
    yield {text: text}
    yield {"buckets": [{"name": text, "capacity": 9, "refill": 9, "seconds": 1}]}
    yield {"buckets": []}


ESCAPED: Final = [
    line(registered()),
    *(line(members) for number, odd in enumerate(ODD.values()) for members in holding(odd, number)),
]
"""A log that every tool splits into the same lines: odd characters are escaped."""

RAW: Final = [
    line(registered()),
    *(
        line(members, escaped=False)
        for number, odd in enumerate(WITHOUT_ESCAPE.values())
        for members in holding(odd, number)
    ),
]
"""The same log with every character unescaped that JSON allows unescaped."""

BROKEN: Final = {
    "two documents and a carriage return between them": b"%s\r%s",
    "a carriage return within": b'{"at":"\r"}',
    "a form feed before": b"\x0c%s",
    "a vertical tab behind": b"%s\x0b",
    "a byte order mark before": b"\xef\xbb\xbf%s",
    "a next line behind": b"%s\xc2\x85",
    "a line separator behind": b"%s\xe2\x80\xa8",
    "a null behind": b"%s\0",
    "a null alone": b"\0",
    "a byte order mark alone": b"\xef\xbb\xbf",
    "a carriage return alone": b"\r",
    "a form feed alone": b"\x0c",
    "nothing": b"",
    "blanks": b" \t",
    "a raw line separator for a member": b'{"at"\xe2\x80\xa8: "x"}',
    "the bytes of a surrogate": b'{"at": "\xed\xa0\x80"}',
    "a null in a string": b'{"at": "\0"}',
    "a form feed in a string": b'{"at": "\x0c"}',
    "UTF-16": "{}".encode("utf-16"),
}
"""Lines that are not JSON, even if odd characters counted as white space."""


def answers(output: bytes) -> list[dict[str, Json]]:
    """Parse the answers of an output, and check that every tool splits it into the same lines."""
    text = output.decode("ascii")
    assert text.endswith("\n") or not text
    assert text.splitlines() == text.split("\n")[:-1]
    read: list[dict[str, Json]] = [json.loads(each) for each in text.splitlines()]
    assert [each["line"] for each in read] == list(range(1, len(read) + 1))
    return read


# --- Reading --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole() -> list[dict[str, Json]]:
    """Replay the whole log of odd texts and return its answers."""
    done = run("replay", "-", given=b"".join(each + b"\n" for each in ESCAPED))
    assert done.stderr == b""
    return answers(done.stdout)


@pytest.mark.slow
def test_replay_gives_one_answer_per_line_with_odd_characters(
    whole: list[dict[str, Json]],
) -> None:
    assert len(whole) == len(ESCAPED)
    of_each = len(list(holding("", 0)))
    for number, (name, odd) in enumerate(ODD.items()):
        own = whole[1 + of_each * number :][:of_each]
        # Broken lines: API keys and bucket names must be ASCII, kinds and members known, and
        # references found. A stored text must have no lone surrogate.
        lone = "surrogate" in name
        broken = [each for each, answer in enumerate(own) if "error" in answer]
        assert broken == [*([0] if lone else []), 1, *([9] if lone else []), 12, 13, 14, 15], name
        # Only texts that are valid app user ids get a connection, with that id.
        allowed = name in WITHOUT_ESCAPE and odd not in "\x85\x7f"
        assert own[3]["status"] == (201 if allowed else 400), name
        if allowed:
            connection = json.loads(str(own[3]["body"]))["connection"]
            assert connection["appUserId"] == f"a{odd}z"
        if not lone:
            shown = json.loads(str(own[10]["body"]))["connection"]
            assert shown["actionRequiredReason"] == f"a{odd}z"
            minted = json.loads(str(own[2]["body"]))["nextAction"]
            assert minted["url"] == f"https://x/a{odd}z"


@pytest.mark.slow
@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
def test_unescaped_line_separators_in_a_log_change_no_answer(
    end: bytes, whole: list[dict[str, Json]], tmp_path: Path
) -> None:
    log = tmp_path / "log.jsonl"
    # The last line has no line feed.
    log.write_bytes(end.join(RAW))
    done = run("replay", str(log))
    assert done.stderr == b""
    assert answers(done.stdout) == whole[: len(RAW)]


@pytest.mark.slow
def test_log_line_that_is_not_json_gives_an_error_and_no_change(tmp_path: Path) -> None:
    whole = line(registered())
    broken = [each.replace(b"%s", whole) for each in BROKEN.values()]
    good = line({"request": created("user", "k")})
    log = tmp_path / "log.jsonl"
    log.write_bytes(b"\n".join([*broken, good, whole, good]))
    done = run("replay", str(log))
    assert done.returncode == 1
    *first, before, between, after = answers(done.stdout)
    assert [{*each} for each in first] == [{"line", "error"}] * len(broken)
    # None of them registered the key.
    assert [before["status"], between["outcome"], after["status"]] == [401, "done", 201]


@pytest.mark.slow
def test_replay_of_an_empty_log_prints_no_answers(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_bytes(b"")
    for done in (run("replay", str(log)), run("replay", "-")):
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


# --- Checking -------------------------------------------------------------------------------


def shown(side: str, divergence: dict[str, Json]) -> str:
    """Return a value as the command prints it: JSON, or `nothing` if absent."""
    return json.dumps(divergence[side]) if side in divergence else "nothing"


@pytest.mark.slow
def test_replay_check_prints_each_differing_member_on_one_line() -> None:
    recorded: list[Json] = [
        {"status": 201, "body": {"connection": {f"a{odd}z": odd}, odd: {odd: [odd]}}}
        for odd in ODD.values()
    ]
    for odd in ODD.values():
        recorded.append({"status": odd, "code": odd})  # noqa: PERF401 - keeps the type of the list
    lines = [
        line({"request": created("user", f"k-{number}"), "response": each})
        for number, each in enumerate(recorded)
    ]
    given = b"\n".join([line(registered()), *lines])
    done = run("replay", "-", "--check", given=given)
    assert done.returncode == 1
    said = done.stderr.decode("ascii")
    assert said.splitlines() == said.split("\n")[:-1]
    answers(done.stdout)
    documents = map(json.loads, done.stdout.splitlines())
    found = [
        (each["line"], divergence)
        for each in documents
        for divergence in each.get("divergences", [])
    ]
    assert len(found) > 5 * len(ODD)
    assert [
        f"line {number}: {json.dumps(each['member'])[1:-1]}: recorded {shown('recorded', each)}, "
        f"decided {shown('decided', each)} by rule {each['rule']}"
        for number, each in found
    ] == said.splitlines()
    assert all(each.isprintable() for each in said.splitlines())


def test_replay_check_prints_divergences_in_answers_and_errors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    connection: Json = {"connection": {"status": "ACTIVE", "odd\x1b": 1}}
    wrong: dict[str, Json] = {"status": 200, "body": connection}
    right: dict[str, Json] = {"status": 201}
    log = tmp_path / "log.jsonl"
    lines = [
        line(registered()),
        line({"request": created("u", "k1"), "response": wrong}),
        line({"request": created("u", "k2"), "response": right}),
    ]
    log.write_bytes(b"".join(each + b"\n" for each in lines))
    assert main(["replay", str(log), "--check"]) == 1
    out, err = capsys.readouterr()
    rule = "by rule operation.create-connection"
    assert {
        f"line 2: status: recorded 200, decided 201 {rule}",
        f'line 2: body.connection.status: recorded "ACTIVE", decided "PENDING" {rule}',
        f"line 2: body.connection.odd\\u001b: recorded 1, decided nothing {rule}",
        f"line 2: body.connection.authorizedAt: recorded nothing, decided null {rule}",
    } < {*err.splitlines()}
    assert {each.partition(": ")[0] for each in err.splitlines()} == {"line 2"}
    read = answers(out.encode())
    assert ["divergences" in each for each in read] == [False, True, False]
    # Without the option the recorded responses change nothing.
    assert main(["replay", str(log)]) == 0
    out, err = capsys.readouterr()
    assert (err, "divergences" in out) == ("", False)


@pytest.mark.parametrize(("closed", "intact"), [("stdout", "err"), ("stderr", "out")])
def test_replay_check_with_a_closed_pipe_runs_all_and_exits_1(
    closed: str,
    intact: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    log = tmp_path / "log.jsonl"
    wrong = line({"request": created("u", "k"), "response": {"status": 201}})
    log.write_bytes((wrong + b"\n") * 400)
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", buffering=1) as stream, monkeypatch.context() as patched:
        patched.setattr(sys, closed, stream)
        assert main(["replay", str(log), "--check"]) == 1
    printed: str = getattr(capsys.readouterr(), intact)
    assert len(printed.splitlines()) == 400


def test_replay_refuses_api_keys_of_another_environment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.jsonl"
    log.write_bytes(line(registered()) + b"\n" + line({"request": created("u", "k")}))
    for arguments, status in (((), 201), (("live",), 201), (("test",), 403)):
        options = [f"--environment={each}" for each in arguments]
        assert main(["replay", str(log), *options]) == 0
        assert answers(capsys.readouterr().out.encode())[1]["status"] == status


def test_replay_shows_the_progress_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = terminal_of(monkeypatch, "stderr")
    monkeypatch.setattr(terminal, "_console", lambda **_: None)
    log = tmp_path / "log.jsonl"
    log.write_bytes(b"{}\n" * 2)
    # Each of the lines is a broken one.
    assert main(["replay", str(log)]) == 1
    assert screen.getvalue() == f"\rreplay [{'#' * 20}{' ' * 20}]\rreplay [{'#' * 40}]\n"
    # The size of standard input is unknown, and nothing is shown in the first two seconds.
    before = screen.getvalue()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"{}\n")))
    assert main(["replay", "-"]) == 1
    assert screen.getvalue() == before


def test_replay_of_a_missing_file_names_it_and_exits_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "none.jsonl"
    with pytest.raises(SystemExit, match="2"):
        main(["replay", str(file)])
    assert capsys.readouterr().err.endswith(
        f"replay: error: cannot read {file}: No such file or directory\n"
    )
