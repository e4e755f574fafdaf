"""Checks of what answers look like: members, times, headers, entity tags, problems."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Final

from curae_lifecycle.service.response import Response
from curae_lifecycle.testing.conformance import sessions
from curae_lifecycle.testing.conformance.client import (
    CREATED,
    NOT_MODIFIED,
    OK,
    App,
    Document,
    as_document,
    create,
    document,
    expect,
    get,
    headers,
    id_of,
    initiate,
    instant,
    lasting,
    member,
    new_app,
    reconnect,
    revoke,
    same,
    told,
)
from curae_lifecycle.testing.conformance.connections import BRINGS, HOUR, REASON, bring
from curae_lifecycle.testing.conformance.idempotency import fill
from curae_lifecycle.testing.conformance.steps import (
    Check,
    Kit,
    NotConformingError,
    Steps,
    send,
    use,
)
from curae_lifecycle.testing.laws import check_documented, check_wire_members
from curae_lifecycle.web.request import Request

_JSON: Final = re.compile(r"application/json(; *charset=utf-8)?", re.IGNORECASE)
UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

MEMBERS: Final = {
    "create": {"connection", "nextAction"},
    "get": {"connection"},
    "reconnect": {"connection", "previousConnectionId", "nextAction"},
    "revoke": {"connection", "revokedNow"},
    "initiate": {"session", "nextAction"},
    "account-state": {"lifecycleState"},
    "graduation": {"nextAction"},
}
STATUSES: Final = {
    "create": CREATED,
    "get": OK,
    "reconnect": CREATED,
    "revoke": OK,
    "initiate": CREATED,
    "account-state": OK,
    "graduation": CREATED,
}
ROWS: Final = {
    "create": "operation.create-connection",
    "get": "operation.get-connection",
    "reconnect": "operation.reconnect",
    "revoke": "operation.revoke",
    "initiate": "operation.initiate",
    "account-state": "operation.account-state",
    "graduation": "operation.graduation-handoff",
}
NO_STORE: Final = {
    "create": ["no-store"],
    "reconnect": ["no-store"],
    "initiate": ["no-store"],
    "graduation": ["no-store"],
    "account-state": ["private, no-cache"],
}


def _one_of_each(kit: Kit) -> Steps[tuple[App, Mapping[str, Response]]]:
    app = yield from new_app(kit)
    created = yield from send(app.create("user"))
    connection_id = id_of(
        as_document(member(expect(created, CREATED, "create"), "connection", "create"), "create")
    )
    got = yield from send(app.get(connection_id))
    revoked = yield from send(app.revoke(connection_id))
    recovered = yield from send(app.reconnect(connection_id))
    initiated = yield from send(app.initiate("user"))
    state = yield from send(app.account_state("user"))
    graduation = yield from send(app.graduate("user"))
    return app, {
        "create": created,
        "get": got,
        "reconnect": recovered,
        "revoke": revoked,
        "initiate": initiated,
        "account-state": state,
        "graduation": graduation,
    }


def _success(name: str, kit: Kit) -> Steps[None]:
    _, answers = yield from _one_of_each(kit)
    answer = answers[name]
    body = expect(answer, STATUSES[name], name)
    check_wire_members(body)
    same(set(body), MEMBERS[name], "the members", name)
    _check_values(body, name)
    kinds = headers(answer, "content-type")
    if (
        len(kinds) != 1
        or re.fullmatch(r"application/json(; *charset=utf-8)?", kinds[0], re.IGNORECASE) is None
    ):
        raise NotConformingError(f"the media type is {kinds}", name)
    if name in NO_STORE:
        same(headers(answer, "cache-control"), NO_STORE[name], "Cache-Control", name)


_TIMES: Final = frozenset(
    ["authorizedAt", "expiresAt", "revokedAt", "createdAt", "updatedAt", "landedAt"]
)
_ALWAYS: Final = frozenset({"createdAt", "updatedAt"})


def _check_values(body: Document, where: str) -> None:
    # Ids, times and flags as they are spelled on the wire.
    for name in body.keys() & {"connection", "session", "nextAction"}:
        part = as_document(body[name], where)
        for time in part.keys() & _TIMES:
            if part[time] is not None or time in _ALWAYS:
                instant(part, time, f"{where}: {name}")
        for each in part.keys() & {"id", "customerAccountId"}:
            _check_uuid(part[each], f"{name}.{each}", where)
    if "previousConnectionId" in body:
        _check_uuid(body["previousConnectionId"], "previousConnectionId", where)
    if not isinstance(body.get("revokedNow", False), bool):
        raise NotConformingError("revokedNow is neither true nor false", where)
    if "nextAction" in body:
        same(member(body, "nextAction.type", where), "open_webview", "the type", where)
        url = member(body, "nextAction.url", where)
        if not isinstance(url, str) or not url:
            raise NotConformingError("the URL is no text", where)


def _check_uuid(value: object, name: str, where: str) -> None:
    if not isinstance(value, str) or UUID.fullmatch(value) is None:
        raise NotConformingError(f"{name} is no UUID in lower case", where)


def _every_standing(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    for standing, needed in BRINGS.items():
        if set(needed) <= kit.hooks and "pass_time" not in needed:
            connection_id = yield from bring(app, standing)
            answer = yield from send(app.get(connection_id))
            check_documented(answer)
            _check_values(document(answer, "get"), f"get a connection that is {standing}")
            answer = yield from send(app.revoke(connection_id))
            check_documented(answer)
            answer = yield from send(app.reconnect(connection_id))
            check_documented(answer)
            _check_values(document(answer, "reconnect"), f"recover one that was {standing}")


def _every_problem(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    pending = yield from create(app)
    connection_id = id_of(pending)
    key = app.new_key()
    yield from send(app.create("user", key=key))
    yield from fill(app, "busy")
    nobody = App(app.api_key + "-more", app.wanted, app.names, app.varying)
    asked: tuple[tuple[Request, str], ...] = (
        (app.request("POST", "/connections", {"extra": 1}, key="k"), "BAD_REQUEST"),
        (app.request("POST", f"/connections/{connection_id}:revoke"), "IDEMPOTENCY_KEY_REQUIRED"),
        (app.revoke(connection_id, key="k k"), "IDEMPOTENCY_KEY_INVALID"),
        (app.graduate("user", ("Idempotency-Key", "k")), "IDEMPOTENCY_KEY_NOT_ALLOWED"),
        (nobody.get(connection_id), "UNAUTHENTICATED"),
        (app.get(kit.names.uuid()), "NOT_FOUND"),
        (app.reconnect(connection_id), "CONNECTION_NOT_RECONNECTABLE"),
        (app.graduate("user"), "BINDING_NOT_LIMITED"),
        (app.create("another", key=key), "IDEMPOTENCY_KEY_REUSED"),
        (app.initiate("busy"), "RATE_LIMITED"),
    )
    for request, code in asked:
        answer = yield from send(request)
        problem = document(answer, code)
        if problem.get("code") != code:
            raise NotConformingError(f"answered {told(answer)}", f"a request that must get {code}")
        _check_problem(answer, problem, code)
    yield from revoke(app, connection_id)
    successor = yield from reconnect(app, connection_id)
    yield from revoke(app, str(member(successor, "connection.id", "reconnect")))
    answer = yield from send(app.reconnect(connection_id))
    _check_problem(answer, document(answer, "reconnect"), "CONNECTION_SUPERSEDED")


def _check_problem(answer: Response, problem: Document, code: str) -> None:
    where = f"the problem {code}"
    check_documented(answer)
    same(problem.get("code"), code, "the code", where)
    kind = problem.get("type")
    kebab = code.lower().replace("_", "-")
    if not isinstance(kind, str) or not kind.endswith(kebab) or len(kind) == len(kebab):
        raise NotConformingError(f"the type {kind!r} is no base URI and {kebab}", where)
    for name in ("title", "detail"):
        if not isinstance(problem.get(name), str) or not problem[name]:
            raise NotConformingError(f"{name} is no text", where)


def _nothing_internal(kit: Kit) -> Steps[None]:
    app, answers = yield from _one_of_each(kit)
    secret = app.api_key.encode()
    for name, answer in answers.items():
        told_headers = "\n".join(value for _, value in answer.headers).encode()
        if secret in answer.body or secret in told_headers:
            raise NotConformingError("the API key is in it", name)
        if app.wanted.app_id.encode() in answer.body:
            raise NotConformingError("the app's id is in it", name)
    nobody = App(app.api_key + "-more", app.wanted, app.names, app.varying)
    answer = yield from send(nobody.get(kit.names.uuid()))
    if secret in answer.body:
        raise NotConformingError("the unknown API key is in it", "an answer 401")


def _no_user_id(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    user_id = kit.names.word("platform-user")
    session = sessions.session_id((yield from initiate(app, "user", prefer_signup=True)))
    yield from use("complete_handoff", session, user_id)
    for request in (
        app.initiate("user"),
        app.account_state("user"),
        app.graduate("user"),
        app.create("user"),
    ):
        answer = yield from send(request)
        if user_id.encode() in answer.body:
            raise NotConformingError("the platform's user id is in it", str(request))


def _reason_survives(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    connection_id = id_of((yield from create(app)))
    yield from use("authorize", connection_id, HOUR)
    yield from use("require_action", connection_id, REASON)
    before = yield from get(app, connection_id)
    yield from revoke(app, connection_id)
    after = yield from get(app, connection_id)
    for name in ("actionRequiredReason", "authorizedAt", "expiresAt", "createdAt"):
        same(after.get(name), before.get(name), name, "after the revocation")


def _reads_agree(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    connection_id = id_of((yield from create(app)))
    for request in (app.get(connection_id), app.account_state("user")):
        one = lasting((yield from send(request)), kit.varying)
        for _ in range(2):
            again = lasting((yield from send(request)), kit.varying)
            if again != one:
                raise NotConformingError(
                    "two answers differ, with nothing in between", str(request)
                )


# --- Account states -------------------------------------------------------------------------


def _tag(app: App, user: str) -> Steps[str]:
    answer = yield from send(app.account_state(user))
    expect(answer, OK, "an account state")
    tags = headers(answer, "etag")
    if len(tags) != 1 or re.fullmatch(r'"[!#-~]*"', tags[0]) is None:
        raise NotConformingError(f"the entity tags are {tags}, not one strong one", "ETag")
    return tags[0]


def _not_modified(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    tag = yield from _tag(app, "user")
    for values in (
        (tag,),
        (f"W/{tag}",),
        (f'"other", {tag}',),
        (f'"a,b",W/"c" , W/{tag}, "d"',),
        (f"{tag},",),
        ("*",),
        ('"other"', tag),
    ):
        given = [("If-None-Match", value) for value in values]
        answer = yield from send(app.account_state("user", *given))
        where = f"an account state with If-None-Match {values}"
        if answer.status != NOT_MODIFIED:
            raise NotConformingError(f"answered {told(answer)} instead of 304", where)
        same(answer.body, b"", "the body", where)
        same(headers(answer, "etag"), [tag], "ETag", where)
        same(headers(answer, "cache-control"), ["private, no-cache"], "Cache-Control", where)
    for value in ('"other"', tag.strip('"'), f'"{tag[1:-1]}x"', f"w/{tag}"):
        answer = yield from send(app.account_state("user", ("If-None-Match", value)))
        expect(answer, OK, f"an account state with If-None-Match {value}")


def _moved(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    before = yield from _tag(app, "user")
    yield from initiate(app, "user")
    answer = yield from send(app.account_state("user", ("If-None-Match", before)))
    where = "an account state that has moved since the entity tag was told"
    same(member(expect(answer, OK, where), "lifecycleState", where), "LIMITED", "it", where)
    after = yield from _tag(app, "user")
    if after == before:
        raise NotConformingError("the entity tag has not moved", where)


def _tag_of_a_state(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    other = yield from new_app(kit)
    yield from initiate(app, "one")
    yield from initiate(app, "two")
    yield from initiate(other, "three")
    first = yield from _tag(app, "one")
    for who, user in ((app, "two"), (other, "three")):
        same((yield from _tag(who, user)), first, "the entity tag", f"another user: {user}")


def _states(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    tags: dict[str, str] = {}
    for state, needed in sessions.BRINGS.items():
        if set(needed) <= kit.hooks:
            user = app.names.word("user")
            yield from sessions.bring(app, user, state)
            tags[state] = yield from _tag(app, user)
    if len(set(tags.values())) < len(tags):
        raise NotConformingError(f"two of the states {', '.join(tags)} share a tag", "ETag")


CHECKS: Final = (
    *[
        Check(
            ROWS[name],
            f"A {name} that succeeds answers {STATUSES[name]} with the listed members and headers.",
            partial(_success, name),
            laws=(13,),
            rules=(ROWS[name],),
        )
        for name in MEMBERS
    ],
    Check(
        "law-13.every-standing",
        "Whatever a connection is, what is told of it has the listed members and no others.",
        _every_standing,
        laws=(13,),
    ),
    Check(
        "law-13.nothing-internal",
        "Neither the API key nor the app's own id is in an answer.",
        _nothing_internal,
        laws=(13,),
    ),
    Check(
        "law-13.no-user-id",
        "No user id of the platform is in an answer.",
        _no_user_id,
        laws=(13,),
        hooks=("complete_handoff",),
    ),
    Check(
        "law-14.reads-agree",
        "A read that is sent again with nothing in between gets the same answer.",
        _reads_agree,
        laws=(14,),
    ),
    Check(
        "law-16.problems",
        "Every problem is whole: its members, its status, whether a retry may help.",
        _every_problem,
        laws=(16,),
        rules=(
            "problem.bad-request",
            "problem.key-required",
            "problem.key-invalid",
            "problem.key-not-allowed",
            "problem.unauthenticated",
            "problem.not-found",
            "problem.connection-not-reconnectable",
            "problem.connection-superseded",
            "problem.binding-not-limited",
            "problem.key-reused",
            "problem.rate-limited",
        ),
    ),
    Check(
        "connection.reason-survives-revoke",
        "A revocation keeps what the connection told of its past.",
        _reason_survives,
        rules=("connection.revoke.action-required",),
        hooks=("authorize", "require_action"),
    ),
    Check(
        "account-state.not-modified",
        "An account state that the client knows is not told again: weak tags, lists and *.",
        _not_modified,
        rules=("operation.account-state",),
    ),
    Check(
        "account-state.moved",
        "An account state that has moved is told, with another entity tag.",
        _moved,
        rules=("operation.account-state",),
    ),
    Check(
        "account-state.tag-of-the-state",
        "An entity tag depends on the state alone, not on the user or the app.",
        _tag_of_a_state,
        rules=("operation.account-state",),
    ),
    Check(
        "account-state.tags-differ",
        "Each account state has an entity tag of its own.",
        _states,
        rules=("operation.account-state",),
    ),
)
