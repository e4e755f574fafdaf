"""Mutants that no caller can tell from the code as it is, each with the proof.

The law of this module: **what is listed was looked at**. An entry that fits no mutant any more, or
one that a test kills, ends a whole run with status 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

Key = tuple[str, str, str]

_SAME_LENGTH: Final = "Both are as long, which was checked where they were made or just before."
_NEVER_REFUSED: Final = (
    "The instant is read for a refusal alone, and no cell of the trigger refuses."
)
_SORTED: Final = (
    "Unless `now` is before the last instant they are in order, and sorting is no change."
)
_NOBODY: Final = "Where nobody is bound, `binding.graduate.unlinked` refuses whoever is named."
_NO_INSTANT: Final = "The row refuses with a problem whose values hold no instant."
_NOT_KEPT: Final = "What the call would make is not kept, and nothing of it decides."
_DIGEST: Final = "digits = hashlib.sha1(name, usedforsecurity=False).hexdigest()"
_SAME_INSTANT: Final = "Where both are the same instant, either is the answer."


def _not_strict(where: str, line: str, why: str) -> Iterator[tuple[Key, str]]:
    """The three ways of not asking `zip` for equal lengths."""
    for other in ("strict=None", "strict=False", ""):
        yield (where, line, line.replace("strict=True", other)), why


EQUIVALENT: Final[dict[Key, str]] = {
    **dict(
        _not_strict(
            "rules.tables._covered",
            "for axis, part in zip(axes, pattern, strict=True)",
            _SAME_LENGTH,
        )
    ),
    **dict(
        _not_strict(
            "service.decide._buckets",
            "for bucket, state in zip(buckets, stored, strict=True)",
            _SAME_LENGTH,
        )
    ),
    **dict(
        _not_strict(
            "service.decide._buckets",
            "charged = zip(keys, buckets, stored, answer.states, strict=True)",
            _SAME_LENGTH,
        )
    ),
    **{
        ("rules.preview.preview_triggers", line, line.replace(said, other)): _NOT_KEPT
        for line, said, others in (
            ('action = NextAction("", LAST_INSTANT)', '""', ("None", '"XXXX"')),
            (
                'Trigger.REQUIRE_ACTION: triggers.require_action(connection, now, reason=""),',
                '""',
                ("None", '"XXXX"'),
            ),
            (
                "Trigger.REVOKE: triggers.revoke(connection, now, actor=Actor.APP),",
                "Actor.APP",
                ("None",),
            ),
            (
                "connection, successor, now, id=connection.id, next_action=action, head=head",
                "connection.id",
                ("None",),
            ),
        )
        for other in others
    },
    **{
        (where, line, line.replace(said, other)): (
            "It is checked then where it would have passed anyway."
        )
        for where, line, said in (
            (
                "rules.connection.clamp_to_updated_at",
                "if type(now) is not datetime or now.tzinfo is not UTC:",
                "type(now)",
            ),
            (
                "rules.triggers.check_expires_at",
                "if type(expires_at) is not datetime or expires_at.tzinfo is not UTC:",
                "type(expires_at)",
            ),
            (
                "rules.idempotency.begin_attempt",
                "if type(now) is not datetime or now.tzinfo is not UTC:",
                "type(now)",
            ),
            (
                "rules.ratelimit._microseconds_at",
                "if type(now) is not datetime or now.tzinfo is not UTC:",
                "type(now)",
            ),
        )
        for other in ("type(None)",)
    },
    (
        "rules.connection.clamp_to_updated_at",
        "if now < seen:",
        "if now <= seen:",
    ): _SAME_INSTANT,
    **{
        (where, line, line.replace("<", "<=")): _SAME_INSTANT
        for line in ("if now < record.seen_at:  # noqa: PLR1730 - `max` takes eight times as long",)
        for where in (
            "rules.attempt._act",
            "rules.idempotency.begin_attempt",
            "rules.idempotency.record_standing",
        )
    },
    (
        "rules.values.clamp_happened_at",
        "if happened_at <= now:",
        "if happened_at < now:",
    ): _SAME_INSTANT,
    (
        "rules.triggers._happened",
        "if happened < made:",
        "if happened <= made:",
    ): _SAME_INSTANT,
    **{
        (where, line, line.replace("happened_at is None", "(happened_at is None) and False")): (
            "`clamp_happened_at` answers the same where nothing says when it happened, and no "
            "connection was made after it was last written."
        )
        for where, line in (
            *(
                (
                    f"rules.triggers.{trigger}",
                    (
                        "happened = "
                        "at if happened_at is None else _happened(connection, happened_at, at)"
                    ),
                )
                for trigger in ("authorize", "require_action", "expire")
            ),
            (
                "rules.triggers.revoke",
                (
                    "revoked_at = "
                    "at if happened_at is None else _happened(connection, happened_at, at)"
                ),
            ),
        )
    },
    (
        "rules.triggers.authorize",
        "chain = AUTHORIZATION[NO_SUCCESSOR if successor is None else successor_kind(successor, at)]",
        (
            "chain = AUTHORIZATION["
            "NO_SUCCESSOR if (successor is None) and False else successor_kind(successor, at)]"
        ),
    ): "`successor_state` answers the same where there is none.",
    (
        "rules.triggers.authorize",
        "return make_refused(problem_of(chain.outcome, connection, at, successor, head), chain.rules)",
        "return make_refused(problem_of(chain.outcome, connection, None, successor, head), chain.rules)",
    ): _NO_INSTANT,
    (
        "rules.triggers.require_action",
        "return _unmoved(row.outcome, row.rules, connection, happened)",
        "return _unmoved(row.outcome, row.rules, connection, None)",
    ): _NEVER_REFUSED,
    (
        "rules.triggers.expire",
        "return _unmoved(outcome, rules, connection, happened)",
        "return _unmoved(outcome, rules, connection, None)",
    ): _NEVER_REFUSED,
    (
        "rules.chain.reconnect",
        "return make_refused(problem_of(asked.outcome, connection, at), asked.rules)",
        "return make_refused(problem_of(asked.outcome, connection, None), asked.rules)",
    ): _NO_INSTANT,
    (
        "rules.chain.reconnect",
        "return make_refused(problem_of(refuse, connection, at, successor, head), rules)",
        "return make_refused(problem_of(refuse, connection, None, successor, head), rules)",
    ): _NO_INSTANT,
    (
        "rules.merge._revocation",
        'return (at is None, at or LAST_INSTANT, by is None, by or "")',
        'return (at is None, at or LAST_INSTANT, by is None, by or "XXXX")',
    ): "The text is only compared where the third members are equal: both None, so one text.",
    (
        "rules.ratelimit._charge_log",
        "if state and _unpack_from(state, _NEWEST)[0] > at:",
        "if state and _unpack_from(state, _NEWEST)[0] >= at:",
    ): _SORTED,
    (
        "rules.ratelimit._charge_log",
        "if surplus > 0:",
        "if surplus > 1:",
    ): "It is a number of bytes, of which an instant takes eight.",
    (
        "rules.ratelimit._charge_log",
        "after = (state[surplus:] if surplus < added else state[added:]) + _pack(at) * cost",
        "after = (state[surplus:] if surplus <= added else state[added:]) + _pack(at) * cost",
    ): "Where both are as many, so are those that go.",
    (
        "rules.ratelimit.count_remaining",
        "return max(0, policy.capacity * period - missing) // period",
        "return max(1, policy.capacity * period - missing) // period",
    ): "One is less than a period, which is at least 10^6, so both give no token.",
    (
        "rules.values.format_time",
        """return f"{day}T{hour}:{minute}:{second}.{ticks.rstrip('0')}Z\"""",
        """return f"{day}T{hour}:{minute}:{second}.{ticks.rstrip('XX0XX')}Z\"""",
    ): "A fraction's text holds no X to be stripped.",
    (
        "rules.credentials.check_permission",
        "case Proceed(): return None",
        "",
    ): "No other case takes it, and a function that ends answers None.",
    **{
        ("service.changes._uuid5", _DIGEST, _DIGEST.replace("usedforsecurity=False", other)): (
            "It is asked by Pythons that forbid SHA-1 where security needs it."
        )
        for other in ("usedforsecurity=None", "usedforsecurity=True", "")
    },
    (
        "service.changes.bump_version",
        "if type(value) is Connection:",
        "if type(None) is Connection:",
    ): "`evolve` makes the same connection, and takes longer.",
    (
        "service.changes.landing_changes",
        (
            "return changes + "
            "binding_changes(EventKind.BINDING_SIGNED_UP, binding, landing.binding, at)"
        ),
        (
            "return changes + "
            "binding_changes(EventKind.BINDING_SIGNED_UP, None, landing.binding, at)"
        ),
    ): "A sign-up binds only where nobody is bound (`binding.complete-sign-up`), so it is None.",
    (
        "service.decide._buckets",
        "request.charges += tuple([make_rate_write(*each) for each in charged])",
        "request.charges = tuple([make_rate_write(*each) for each in charged])",
    ): "Nothing is charged before the buckets: the table of gates asks the limit after them.",
    (
        "service.decide._idempotency",
        "changes = make_changes(request.charges) if request.charges else NO_CHANGES",
        "changes = make_changes(request.charges) if (request.charges) or True else NO_CHANGES",
    ): "Changes of no charges are equal to those at hand.",
    (
        "service.decide._limit",
        "if limit is None or key is None:",
        "if limit is None and key is None:",
    ): "There is a key exactly where there is a limit; `_limit_key` raises where it has no owner.",
    (
        "service.decide.decide",
        (
            'raise AssertionError("the rule itself answers")  '
            "# pragma: no cover - it is the last gate"
        ),
        "raise AssertionError(None)  # pragma: no cover - it is the last gate",
    ): "The last gate answers, so the line is never reached.",
    (
        "service.facts.graduated.Graduated.judge",
        'bound = UserId("") if binding is None else binding.user_id',
        "bound = UserId(None) if binding is None else binding.user_id",
    ): _NOBODY,
    (
        "service.facts.graduated.Graduated.judge",
        'bound = UserId("") if binding is None else binding.user_id',
        'bound = UserId("XXXX") if binding is None else binding.user_id',
    ): _NOBODY,
}
"""Function, the line as it is, the line as it was changed: why no caller can tell."""
