"""Checks of account states and their entity tags."""

from __future__ import annotations

from itertools import combinations
from typing import Final

from curae_lifecycle.testing.conformance import client, sessions
from curae_lifecycle.testing.conformance.check import Checks
from curae_lifecycle.testing.conformance.client import App, require, same, success
from curae_lifecycle.testing.conformance.replies import entity_tag
from curae_lifecycle.testing.conformance.steps import Steps, send


def _read_tag(app: App, user: str) -> Steps[str]:
    answer = yield from client.expect_answer(app.account_state(user), client.OK)
    return entity_tag(answer)


CHECKS: Final = Checks()


@CHECKS.add("account-state.not-modified", rules=("operation.account-state",))
def _not_modified(app: App) -> Steps[None]:
    """Requests get a 304 if If-None-Match is * or holds the tag: strong, weak, or in a list."""
    tag = yield from _read_tag(app, "user")
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
        require(
            answer.status == client.NOT_MODIFIED,
            f"the server answered {client.in_short(answer)} instead of 304",
        )
        same(answer.body, b"", "the body")
        same(client.headers(answer, "etag"), [tag], "ETag")
        same(client.headers(answer, "cache-control"), ["private, no-cache"], "Cache-Control")
    for value in ('"other"', tag.strip('"'), f'"{tag[1:-1]}x"', f"w/{tag}"):
        yield from success(app.account_state("user", ("If-None-Match", value)), client.OK)


@CHECKS.add("account-state.moved", rules=("operation.account-state",))
def _changed_state_is_sent(app: App) -> Steps[None]:
    """Account states that changed are sent in full, with another entity tag."""
    before = yield from _read_tag(app, "user")
    yield from app.initiated("user")
    answer = yield from send(app.account_state("user", ("If-None-Match", before)))
    state = client.member(client.expect(answer, client.OK), "lifecycleState")
    same(state, "LIMITED", "lifecycleState")
    after = yield from _read_tag(app, "user")
    require(after != before, "the entity tag has not changed")


@CHECKS.add("account-state.tag-of-the-state", rules=("operation.account-state",))
def _tag_depends_on_state_alone(app: App) -> Steps[None]:
    """Entity tags depend on the account state alone, not on the user or the app."""
    other = yield from client.new_app(app.context)
    yield from app.initiated("one")
    yield from app.initiated("two")
    yield from other.initiated("three")
    first = yield from _read_tag(app, "one")
    for owner, user in ((app, "two"), (other, "three")):
        same((yield from _read_tag(owner, user)), first, "the entity tag")


@CHECKS.add("account-state.tags-differ", rules=("operation.account-state",))
def _tags_differ(app: App) -> Steps[None]:
    """Different account states have different entity tags."""
    tags: dict[str, str] = {}
    for state, hooks in sessions.BRINGS.items():
        if set(hooks) <= app.context.hooks:
            user = app.names.word("user")
            yield from sessions.bring_account_to(app, user, state)
            tags[state] = yield from _read_tag(app, user)
    for one, other in combinations(tags, 2):
        require(tags[one] != tags[other], f"the states {one} and {other} share a tag: {tags[one]}")
