"""Triggers as the kit fires them: through the hooks of facts, or through operations.

The law of this module: **the kit can fire every trigger of a fact**. If `OWN_HOOKS` names no hook
for a trigger, the hook `record_fact` gets its fact, built from the examples of the fact's members.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import attrs

from curae_lifecycle.rules.connection import Actor, Connection, Status
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.preview import preview_trigger
from curae_lifecycle.rules.triggers import Trigger
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.facts.registry import FACT_BY_TRIGGER
from curae_lifecycle.service.operations import example_values
from curae_lifecycle.testing.conformance.steps import Steps, use
from curae_lifecycle.testing.factories import build
from curae_lifecycle.web.wire_format import format_connection

GENERIC_HOOK: Final = "record_fact"
"""The name of the hook, a function of `Server`, that records any fact of the library."""

OWN_HOOKS: Final[Mapping[Trigger, tuple[str, tuple[object, ...]]]] = {
    Trigger.AUTHORIZE: ("authorize", (timedelta(hours=1),)),
    # Not the reason that brings a connection to ACTION_REQUIRED, so that a change of it shows.
    Trigger.REQUIRE_ACTION: ("require_action", ("another_reason",)),
    Trigger.EXPIRE: ("expire", ()),
    Trigger.REVOKE: ("revoke", (Actor.PLATFORM,)),
}
"""The triggers (causes of a connection's change) that each have a hook, a function of the server.

For each, the name of the hook, and the arguments of the hook after the connection's id.
"""

OWN_HOOK_NAMES: Final = tuple(hook for hook, _ in OWN_HOOKS.values())
"""The names of the hooks in `OWN_HOOKS`, each a function of the server that records one fact."""


def hook_of(trigger: Trigger) -> str:
    """Return the name of the hook, a function of `Server`, that records the fact of a trigger.

    A trigger is a cause of a change of a connection, such as expire. A few triggers have a hook of
    the same name. The hook of all others is `record_fact`.
    """
    return OWN_HOOKS[trigger][0] if trigger in OWN_HOOKS else GENERIC_HOOK


def triggers_of(hooks: frozenset[str]) -> list[Trigger]:
    """Return the triggers of facts that the kit can fire through the hooks with these names.

    A trigger is a cause of a change of a connection, such as expire. A hook is a function of
    `Server`.
    """
    return [each for each in Trigger if each in FACT_BY_TRIGGER and hook_of(each) in hooks]


def fire(trigger: Trigger, connection_id: str) -> Steps[str | None]:
    """Record the fact of a trigger, such as `expire`, about a connection, by a hook of the server.

    A trigger is a cause of a change of a connection. A hook is a function of the server.

    Returns:
        The outcome that the hook reports; `None` if it reports none.
    """
    if trigger in OWN_HOOKS:
        hook, arguments = OWN_HOOKS[trigger]
        return (yield from use(hook, connection_id, *arguments))
    fact = example_fact(FACT_BY_TRIGGER[trigger], connection_id)
    return (yield from use(GENERIC_HOOK, fact))


def example_fact(kind: type[Fact], connection_id: str) -> Fact:
    """Build an example of a fact of the class `kind` about a connection.

    Other required members of the fact have their example values, optional members their defaults.
    """
    return build(kind, {"connection_id": connection_id})


def settable_members(trigger: Trigger) -> frozenset[str]:
    """Return the names of the connection members that a trigger, such as expire, may change.

    These are the members that the trigger's rules change in at least one status, and the members
    that the trigger's fact holds, such as `expiresAt`. `status` and `updatedAt` are left out, since
    any trigger may change them.
    """
    fact = FACT_BY_TRIGGER.get(trigger)
    named = [] if fact is None else [member.name for member in fact.members]
    shown = format_connection(example_values.CONNECTION, example_values.NOW, binding=None)
    members = {name for name in named if name in shown}
    for status in Status:
        members |= _set_by_rule(trigger, attrs.evolve(example_values.CONNECTION, status=status))
    return frozenset(members - {"status", "updatedAt"})


def _set_by_rule(trigger: Trigger, before: Connection) -> set[str]:
    now = example_values.NOW
    answer = preview_trigger(trigger, before, now, era=None)
    if not isinstance(answer, Done) or not isinstance(answer.value, Connection):
        return set()
    old = format_connection(before, now, binding=None)
    new = format_connection(answer.value, now, binding=None)
    return {name for name in new if new[name] != old[name]}
