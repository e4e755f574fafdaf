"""`problems`: print what each problem code means, and what a client should do.

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
    C.BAD_REQUEST: "Correct the member that `details` names, and send it again. The "
    "idempotency key is as it was. The same request is refused for ever.",
    C.IDEMPOTENCY_KEY_REQUIRED: "Make a key for the one thing that you mean to do, keep it with it, and send "
    "it with the request and with every retry.",
    C.IDEMPOTENCY_KEY_INVALID: "Send one `Idempotency-Key` header of 1 to 255 visible ASCII characters.",
    C.IDEMPOTENCY_KEY_NOT_ALLOWED: "Leave the header out. To ask again is safe: it makes a new next action.",
    C.UNAUTHENTICATED: "Send `Authorization: Bearer` and a key that is registered. If it was withdrawn, ask "
    "for another; a retry with this one does not help.",
    C.SCOPE_INSUFFICIENT: "Use a key that has the scope which `details` names, or have it added. The "
    "idempotency key is as it was.",
    C.WRONG_ENVIRONMENT: "Send a key of the other environment, or send it to the other environment's server.",
    C.CONNECTION_ACCESS_DENIED: "Do as the reason says: wait for the patient where it is PENDING, reconnect "
    "where it is LAPSED, ACTION_REQUIRED, EXPIRED or REVOKED, and ask for another package where it was not "
    "granted.",
    C.NOT_FOUND: "Check the id, the path and whose key it is. What belongs to somebody else is answered the "
    "same way, so this never says whether it is there.",
    C.CONNECTION_NOT_RECONNECTABLE: "Go on with the connection as it is: while it is STILL_PENDING show the "
    "patient the next action that you have, and where it is ALREADY_ACTIVE read.",
    C.CONNECTION_SUPERSEDED: "Go on with `headConnectionId`, and forget this id.",
    C.CONNECTION_NOT_PENDING: "Nothing is to be done with this fact. To connect again the app reconnects.",
    C.HANDOFF_LAPSED: "The patient came too late. The app reconnects, and shows the new page.",
    C.SESSION_EXPIRED: "The user came too late. The app initiates again with a new key.",
    C.HANDOFF_NOT_REQUIRED: "Nothing is to be done: a session on this path waits for no hand-off.",
    C.BINDING_CHANGED: "Read the account's state, and start from there: initiate says which path is left.",
    C.BINDING_CONFLICT: "Do not retry. Another user is bound to this app user; a person has to look at it.",
    C.BINDING_NOT_LIMITED: "Where it is ACTIVE there is nothing to graduate; else initiate first.",
    C.IDEMPOTENCY_KEY_IN_FLIGHT: "Wait as long as `Retry-After` says, and send the very same request again, "
    "with the same key.",
    C.IDEMPOTENCY_OUTCOME_UNKNOWN: "Do not send it under another key: it may have happened. Ask for what it "
    "should have made, or wait until the operator has resolved it, and retry then with the same key.",
    C.IDEMPOTENCY_KEY_FORGOTTEN: "Look at what there is. If you still mean it, it is a new request: use a new "
    "key.",
    C.IDEMPOTENCY_KEY_REUSED: "A key stands for one request. Use a new key for this one; and see that nothing "
    "in what you send moves from retry to retry.",
    C.RATE_LIMITED: "Wait as long as `Retry-After` says, and send the very same request again, with the same "
    "key. What waits less is refused, and is not counted.",
    C.INTERNAL: "Send the very same request again, with the same key, after a pause that grows. If it took "
    "effect all the same, you get its answer.",
}
"""Advice to clients. A program that reports a fact is a client, too."""

DETAILS: Final[dict[str, str]] = {
    "member": "The member at fault; null where it is the whole, or one that is unknown.",
    "fault": "What is wrong with it.",
    "scope": "The scope that the API key lacks.",
    "environment": "The environment of the API key, which this server does not serve.",
    "connectionId": "The connection that was asked for.",
    "nextConnectionId": "The connection that took its place.",
    "headConnectionId": "The last connection of the chain: the one to go on with.",
    "dataPackage": "The package that was asked for.",
    "reason": "Which of the rules below it was.",
    "standing": "What the connection was when it was asked.",
    "deadline": "When the hosted page was over.",
    "sessionId": "The session that was asked for.",
    "expiresAt": "When the session was over.",
    "path": "The path that the session took.",
    "lifecycleState": "The account's state.",
    "retryAfter": "Whole seconds after which it may fare better, as in `Retry-After`.",
    "differs": "What differs from the request that the key belongs to: the operation or its values.",
    "policy": "The limit that refused.",
}
"""The meaning of each key of `details`."""


_NO_OPERATION: Final = (
    "No operation: a server's own question, or a fact that it records, is refused with it."
)
_NO_DETAILS: Final = "None: `details` is an empty object."
_BESIDES: Final = (
    "It is also the answer where the store could not be reached in all attempts, and where something "
    "raised that nobody foresaw; no rule decides that."
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
            f"`{type_uri(code)}`, or another base of the server's",
            "[section 7](../rules.md#section-7)",
        ],
        ["HTTP status", str(http.outcome.status), _link("problem-status", http)],
        ["retryable", "yes" if kind.retryable else "no", _link("problems", row)],
        ["its idempotency key", _key_effect(code), _link("problem-status", http)],
    ]
    details = [[f"`{key}`", DETAILS[key]] for key in kind.details]
    rules = [
        [_link(table.name, each), str(each.outcome), each.why] for table, each in find_rules(code)
    ]
    asked = [each.rule.name for each in OPERATIONS if code in problem_codes(each)]
    parts = [
        f"# {code}",
        f"{problem.title}. {row.why}",
        markdown_table(("what", "says", "by"), facts).rstrip(),
        "## What a client should do",
        ADVICE[code],
        "## Details",
        markdown_table(("key", "holds"), details).rstrip() if details else _NO_DETAILS,
        "An answer with it, its values made up:",
        f"```json\n{json.dumps(format_problem(problem, DEFAULT_TYPE_BASE), indent=2)}\n```",
        "## Who answers it",
        f"Operations: {', '.join(f'`{name}`' for name in asked)}." if asked else _NO_OPERATION,
        markdown_table(("rule", "answers", "why"), rules).rstrip(),
    ]
    parts += [_BESIDES] if code is C.INTERNAL else []
    return "\n\n".join(parts) + "\n"


def run(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    """Print the description of one code, or of all."""
    code: str | None = options.code
    if code is None:
        print("\n".join(to_markdown(each) for each in ProblemCode), end="")
        return 0
    if code not in ProblemCode.__members__:
        parser.error(f"no problem has the code {code}; the codes are {', '.join(ProblemCode)}")
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
    kept = PROBLEM_STATUS[row.outcome.kind].outcome.kept
    if not any(
        code in problem_codes(each) for each in OPERATIONS if each.rule.key is KeyUse.NEEDED
    ):
        return "no key goes with it"
    if any(table.name == "idempotency" for table, _ in find_rules(code)):
        return "stays what it is: the key's record is left alone"
    if kept and not row.outcome.retryable:
        return "keeps this answer, where one came along: a retry gets it again"
    return "is as it was: this answer is not kept"
