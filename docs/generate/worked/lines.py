"""A scene and its result as the lines of a page.

The law of this module: **the lines show real results**. A body is that of the response, set in
lines; what is stored and written is printed from the values.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Final

import attrs

from curae_lifecycle.rules.access import Denied, Granted
from curae_lifecycle.rules.attempt import LeaseLost
from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.idempotency import Attempt, Record
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.ratelimit import BucketState, LogState
from curae_lifecycle.rules.session import CuraeConnectSession
from curae_lifecycle.rules.values import Coordinate, format_time
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.snapshot import Snapshot
from curae_lifecycle.service.writes import (
    BindingWrite,
    ConnectionWrite,
    PageWrite,
    RateWrite,
    RecordWrite,
    SessionWrite,
    Write,
)
from curae_lifecycle.web.respond import Answer
from curae_lifecycle.web.wire_format import format_problem
from docs.generate.vectors.cases import camel
from docs.generate.worked.scene import CallScene, FactScene, FullStoreScene, RequestScene, Scene


def summary(scene: Scene, ran: object) -> str:
    """Return a scene and its outcome as one line of HTML."""
    match scene, ran:
        case RequestScene(), Answer():
            asked = f"{scene.request.method} {scene.request.target}"
            said = f"is answered {ran.response.status} {code_of(ran)}".rstrip()
        case FactScene(), _:
            asked = f"fact {scene.fact.kind}"
            done = "recorded" if isinstance(ran, Done) else _outcome(ran)
            said = f"is {done} {code_of(ran)}".rstrip()
        case _:
            assert isinstance(scene, CallScene)
            asked, said = scene.name, f"is {_outcome(ran)}"
    return f"<code>{asked}</code> {said}"


def lines(scene: Scene, ran: object) -> Iterator[str]:
    """Yield what is stored, the input, and the whole result."""
    match scene:
        case RequestScene():
            yield from _asked(scene)
        case FactScene():
            yield from _stored(scene.snapshot)
            yield _line("now", format_time(scene.now))
            yield _line("fact", _fact(scene.fact))
        case CallScene():
            for name, value in scene.given.items():
                yield from _line(camel(name), _value(value)).splitlines()
            yield _line("call", scene.name)
    yield ""
    if isinstance(ran, Answer):
        yield str(ran.response.status)
        yield from (f"{name}: {value}" for name, value in ran.response.headers)
        if ran.response.body:
            yield from json.dumps(json.loads(ran.response.body), indent=2).splitlines()
        yield ""
        yield from _changes(ran.changes)
    else:
        yield from _result(ran)
    if rules_of(ran):
        yield _line("rules", " → ".join(rules_of(ran)))


def _result(ran: object) -> Iterator[str]:
    yield _outcome(ran)
    match ran:
        case Refused() | Denied():
            details = format_problem(ran.problem)["details"]
            yield _line("problem", f"{ran.problem.code} {json.dumps(details)}")
        case Granted():
            until = "an event ends it" if ran.valid_until is None else _word(ran.valid_until)
            yield _line("until", until)
        case Done(Changes() as changes):
            yield from _changes(changes)
        case Done(value):
            yield _line("value", _value(value))
        case Ignored() | LeaseLost():
            pass
        case _:
            yield _line("value", "none" if ran is None else _value(ran))


_OUTCOMES: Final[dict[type, str]] = {
    Done: "done",
    Ignored: "ignored",
    Refused: "refused",
    Granted: "granted",
    Denied: "denied",
    LeaseLost: "too late: the lease is lost",
}


def _outcome(ran: object) -> str:
    return _OUTCOMES.get(type(ran), "done")


def rules_of(ran: object) -> tuple[str, ...]:
    """Return the rules that decided, in order, if the result names any."""
    if isinstance(ran, (Granted, Denied)):
        return (ran.rule,)
    rules: tuple[str, ...] = getattr(ran, "rules", ())
    return rules


def code_of(ran: object) -> str:
    """Return the code of the problem in a result, or an empty text."""
    match ran:
        case Answer():
            body = json.loads(ran.response.body) if ran.response.body else {}
            return str(body.get("code", ""))
        case Refused() | Denied():
            return str(ran.problem.code)
        case _:
            return ""


def _line(word: str, said: str) -> str:
    return f"{word:<8} {said}"


def _asked(scene: RequestScene) -> Iterator[str]:
    if isinstance(scene, FullStoreScene):
        yield _line("stored", "as much as there is room for")
    yield from _stored(scene.snapshot)
    caller = scene.caller
    if caller is None:
        yield _line("caller", "nobody knows the API key")
    elif not caller.scopes:
        yield _line("caller", f"{caller.api_key_id}, without a scope")
    if scene.settings.environment is not None:
        yield _line("server", f"serves {scene.settings.environment} alone")
    yield _line("now", format_time(scene.now))
    yield ""
    yield f"{scene.request.method} {scene.request.target}"
    yield from (f"{name}: {value}" for name, value in scene.request.headers)
    if scene.request.body:
        assert isinstance(scene.request.body, bytes)
        yield scene.request.body.decode()


def _stored(snapshot: Snapshot) -> Iterator[str]:
    shown: set[int] = set()
    for field in attrs.fields(type(snapshot)):
        value: object = getattr(snapshot, field.name)
        for each in value if isinstance(value, tuple) else (value,):
            if each is not None and id(each) not in shown:
                shown.add(id(each))
                yield _line("stored", f"{field.name.rstrip('s')} {_value(each)}")


def _value(value: object) -> str:
    match value:
        case Connection():
            found = f"{value.id} {value.status}"
            if value.identity.predecessor_id is not None:
                found += f", recovers {value.identity.predecessor_id}"
            names = ("handoff_deadline", "authorized_at", "expires_at", "action_required_reason")
            return found + _members(value, *names, "revoked_at", "revoked_by")
        case LimitedAccountAppBinding():
            return f"{value.state}, user {value.user_id}, generation {value.generation}"
        case CuraeConnectSession():
            found = f"{value.id} {value.path}, hand-off {value.handoff}"
            return found + _members(value, "expires_at", "landed_at", "user_id")
        case Record():
            request = f"of {value.fingerprint.operation}"
            found = f"{value.key.key} {request}: {value.state}"
            leased = ("lease_until", "lost_lease") if value.lease_until else ()
            return found + _members(value, "first_used_at", *leased)
        case Attempt():
            return f"number {value.token} of {value.key.key}" + _members(value, "first_used_at")
        case LogState():
            return f"{len(value.instants)} admitted since {format_time(min(value.instants))}"
        case BucketState():
            return "empty"
        case dict():
            return json.dumps(value, indent=2)
        case _:
            return _word(value)


def _members(value: attrs.AttrsInstance, *names: str) -> str:
    held = {name: getattr(value, name) for name in names}
    return "".join(f", {camel(name)} {_word(held[name])}" for name in names if held[name])


def _word(value: object) -> str:
    return format_time(value) if isinstance(value, datetime) else str(value)


def _fact(fact: Fact) -> str:
    held = {name: getattr(fact, name) for name in fact.__match_args__}
    members = [f"{camel(name)} {_coordinate(value)}" for name, value in held.items() if value]
    return f"{fact.kind}: {', '.join(members)}"


def _coordinate(value: object) -> str:
    if isinstance(value, Coordinate):
        return " ".join(map(str, attrs.astuple(value)))
    return _word(value)


def _changes(changes: Changes) -> Iterator[str]:
    yield from (_line("writes", _write(write)) for write in changes.writes)
    for effect in changes.effects:
        names = [field.name for field in attrs.fields(type(effect))]
        said = ", ".join(f"{camel(name)} {_coordinate(getattr(effect, name))}" for name in names)
        yield _line("effect", f"{type(effect).__name__}: {said}")
    yield from (_line("event", event.kind) for event in changes.events)


def _write(write: Write) -> str:
    match write:
        case RateWrite():
            return f"rate limit {write.policy.name}"
        case RecordWrite():
            return f"record {write.after.key.key}: {write.after.state}"
        case ConnectionWrite(before, after):
            name = f"connection {after.id}"
            if before is not None and before.status == after.status:
                count = f"version {before.version} → {after.version}"
                return f"{name}: {after.status} as it was, {count}"
            return _moved(name, None if before is None else before.status, after.status)
        case SessionWrite(before, after):
            return _moved(
                f"session {after.id}", None if before is None else before.handoff, after.handoff
            )
        case BindingWrite(before, after):
            return _moved("binding", None if before is None else before.state, after.state)
        case PageWrite(before, after):
            return f"page of a {after.kind}: version {before.version} → {after.version}"


def _moved(name: str, was: str | None, to: str) -> str:
    return f"new {name}: {to}" if was is None else f"{name}: {was} → {to}"
