"""The command `problems`: print what each problem code means and what a client should do.

The law of this module: **a description says what the tables say**. The tables hold the status, the
retry flag, the keys of `details`, the operations and the rules of a code. This module adds only the
advice to clients and the meaning of each key of `details`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import Final

from curae_lifecycle.cli.table_formats import markdown_table
from curae_lifecycle.rules.access import Deny
from curae_lifecycle.rules.outcomes import RefuseWith
from curae_lifecycle.rules.problems import CATALOGUE, DEFAULT_TYPE_BASE, ProblemCode, type_uri
from curae_lifecycle.rules.tables import AnyTable, Row
from curae_lifecycle.service.operations.operation import KeyUse
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.service.rulebook import TABLES
from curae_lifecycle.service.status import PROBLEM_STATUS
from curae_lifecycle.web.openapi.document import problem_codes
from curae_lifecycle.web.openapi.schemas import example_reply
from curae_lifecycle.web.wire_format import format_problem

C = ProblemCode

ADVICE: Final[dict[ProblemCode, str]] = {
    C.BAD_REQUEST: "Correct the member that `details` names and send the request again. The "
    "idempotency key is not used up. The same request is refused every time.",
    C.IDEMPOTENCY_KEY_REQUIRED: "Create one key for each intended action and store it with "
    "the action. Send it with the request and with every retry.",
    C.IDEMPOTENCY_KEY_INVALID: "Send one `Idempotency-Key` header of 1 to 255 visible ASCII "
    "characters.",
    C.IDEMPOTENCY_KEY_NOT_ALLOWED: "Leave the header out. A repeated request is safe: it makes a "
    "new next action.",
    C.UNAUTHENTICATED: "Send `Authorization: Bearer` with a registered key. If the key was "
    "withdrawn, get another one; a retry with the same key does not help.",
    C.SCOPE_INSUFFICIENT: "Use a key that has the scope named in `details`, or have the scope "
    "added to your key. The idempotency key is not used up.",
    C.WRONG_ENVIRONMENT: "Send a key of this server's environment, or send the request to the "
    "other environment's server.",
    C.CONNECTION_ACCESS_DENIED: "Act on the reason. If it is PENDING, wait for the patient. If it "
    "is LAPSED, ACTION_REQUIRED, EXPIRED or REVOKED, reconnect. If it is PACKAGE_NOT_GRANTED, ask "
    "for another package.",
    C.NOT_FOUND: "Check the id, the path and the owner of your API key. Another owner's values "
    "get the same answer, so it never shows whether a value exists.",
    C.CONNECTION_NOT_RECONNECTABLE: "Keep using the connection. If the reason is STILL_PENDING, "
    "show the patient the next action that you have. If it is ALREADY_ACTIVE, read the data.",
    C.CONNECTION_SUPERSEDED: "Continue with `headConnectionId`, and stop using this id.",
    C.CONNECTION_NOT_PENDING: "There is nothing to do with this fact. To connect again, the app "
    "must reconnect.",
    C.HANDOFF_LAPSED: "The patient finished too late. The app must reconnect and show the new "
    "page.",
    C.SESSION_EXPIRED: "The user finished too late. The app must initiate again with a new key.",
    C.HANDOFF_NOT_REQUIRED: "There is nothing to do: a session on this path waits for no hand-off.",
    C.BINDING_CHANGED: "Read the account state and start again from it. An initiate returns the "
    "path that is open now.",
    C.BINDING_CONFLICT: "Do not retry. Another user is bound to this app user, and a person must "
    "resolve that.",
    C.BINDING_NOT_LIMITED: "If the account is ACTIVE, there is nothing to graduate. Otherwise "
    "initiate first.",
    C.IDEMPOTENCY_KEY_IN_FLIGHT: "Wait as long as `Retry-After` says, then send the same request "
    "again with the same key.",
    C.IDEMPOTENCY_OUTCOME_UNKNOWN: "Do not send the request under another key: it may have taken "
    "effect. Read what it should have created. Or wait until the operator has resolved it, and "
    "then retry with the same key.",
    C.IDEMPOTENCY_KEY_FORGOTTEN: "Check what exists. If you still want the effect, send a new "
    "request with a new key.",
    C.IDEMPOTENCY_KEY_REUSED: "A key belongs to one request. Use a new key for this one, and make "
    "sure that nothing in a request changes from retry to retry.",
    C.RATE_LIMITED: "Wait as long as `Retry-After` says, then send the same request again with "
    "the same key. An earlier retry is refused and is not counted.",
    C.INTERNAL: "Send the same request again with the same key, with a growing pause between "
    "retries. If the first request took effect, you get its response.",
}
"""Advice to clients. A program that reports a fact is a client, too."""

DETAILS: Final[dict[str, str]] = {
    "member": "The member at fault; null if it is the whole body or an unknown member.",
    "fault": "What is wrong with it.",
    "scope": "The scope that the API key lacks.",
    "environment": "The environment of the API key, which this server does not serve.",
    "connectionId": "The requested connection.",
    "nextConnectionId": "The connection that recovers it.",
    "headConnectionId": "The last connection of the chain: the one to continue with.",
    "dataPackage": "The requested package.",
    "reason": "Which of the rules below applied.",
    "standing": "The standing of the connection at the time of the request.",
    "deadline": "The instant at which the hosted page expired.",
    "sessionId": "The requested session.",
    "expiresAt": "The instant at which the session expired.",
    "path": "The path that the session took.",
    "lifecycleState": "The account's state.",
    "retryAfter": "Whole seconds after which a retry may succeed, as in `Retry-After`.",
    "differs": "What differs from the first request with the key: the operation or its values.",
    "policy": "The rate limit that refused the request.",
}
"""The meaning of each key of `details`."""


_NO_OPERATION: Final = (
    "No operation. Only an access question of the server or a recorded fact gets this answer."
)
_NO_DETAILS: Final = "None: `details` is an empty object."
_UNEXPECTED_ERRORS: Final = (
    "The server also answers this if the store could not be reached in any attempt, and on an "
    "unexpected error. No rule decides these two."
)


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    command.add_argument("code", nargs="?", metavar="CODE", help="a problem code")
    command.set_defaults(run=run)


def to_markdown(code: ProblemCode) -> str:
    """Return the description of one code as Markdown."""
    row = CATALOGUE[code]
    kind = row.outcome
    http = PROBLEM_STATUS[kind.kind]
    problem = example_reply(code).problem
    facts = [
        [
            "type",
            f"`{type_uri(code)}`, or with another base that the server sets",
            "[section 7](../rules.md#section-7)",
        ],
        ["HTTP status", str(http.outcome.status), _link("problem-status", http)],
        ["retryable", "yes" if kind.retryable else "no", _link("problems", row)],
        ["idempotency key", _key_effect(code), _link("problem-status", http)],
    ]
    details = [[f"`{key}`", DETAILS[key]] for key in kind.details]
    rules = [
        [_link(table.name, each), str(each.outcome), each.why] for table, each in find_rules(code)
    ]
    operations = [each.rule.name for each in OPERATIONS if code in problem_codes(each)]
    parts = [
        f"# {code}",
        f"{problem.title}. {row.why}",
        markdown_table(("property", "value", "rule"), facts).rstrip(),
        "## What a client should do",
        ADVICE[code],
        "## Details",
        markdown_table(("key", "meaning"), details).rstrip() if details else _NO_DETAILS,
        "An example with made-up values:",
        f"```json\n{json.dumps(format_problem(problem, DEFAULT_TYPE_BASE), indent=2)}\n```",
        "## When it is the answer",
        f"Operations: {', '.join(f'`{name}`' for name in operations)}."
        if operations
        else _NO_OPERATION,
        markdown_table(("rule", "outcome", "why"), rules).rstrip(),
    ]
    parts += [_UNEXPECTED_ERRORS] if code is C.INTERNAL else []
    return "\n\n".join(parts) + "\n"


def run(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    """Print the description of one code or of all; return the exit status."""
    code: str | None = options.code
    if code is None:
        print("\n".join(to_markdown(each) for each in ProblemCode), end="")
        return 0
    if code not in ProblemCode.__members__:
        parser.error(f"there is no problem code {code}; the codes are {', '.join(ProblemCode)}")
    print(to_markdown(ProblemCode[code]), end="")
    return 0


def _link(table: str, row: Row[object]) -> str:
    return f"[`{row.rule}`](../tables/{table}.md#{row.rule})"


def find_rules(code: ProblemCode) -> Iterator[tuple[AnyTable, Row[object]]]:
    """Yield the rules that refuse or deny with a code, each with its table."""
    for table in TABLES.values():
        for row in table.rows:
            denied = isinstance(row.outcome, Deny) and code is C.CONNECTION_ACCESS_DENIED
            if denied or (isinstance(row.outcome, RefuseWith) and row.outcome.code is code):
                yield table, row


def _key_effect(code: ProblemCode) -> str:
    row = CATALOGUE[code]
    is_stored = PROBLEM_STATUS[row.outcome.kind].outcome.kept
    if not any(
        code in problem_codes(each) for each in OPERATIONS if each.rule.key is KeyUse.NEEDED
    ):
        return "none: no request with a key gets this answer"
    if any(table.name == "idempotency" for table, _ in find_rules(code)):
        return "unchanged: the key's record stays as it is"
    if is_stored and not row.outcome.retryable:
        return "used up, if the request had one: a retry gets this answer again"
    return "not used up: this answer is not stored"
