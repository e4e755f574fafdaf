"""Equivalent mutants of `rules`, `service`, `web` and `replay.log`, with proofs.

No caller can distinguish an equivalent mutant from the code.

The law of this module: **every entry has a proof**. If an entry matches no mutant, or a mutant that
a test kills, a whole run of `benchmarks/mutants.py` exits with status 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

Key = tuple[str, str, str]

_SAME_LENGTH: Final = "Both are as long, which was checked where they were made or just before."
_NEVER_REFUSED: Final = (
    "The instant and the era are read for a refusal alone, and no cell of the trigger refuses."
)
_NO_STANDING: Final = (
    "The era is read for the standing alone, and the details of the problem do not have it."
)
_SORTED: Final = (
    "Unless `now` is before the last instant they are in order, and sorting is no change."
)
_NOT_BOUND: Final = "Without a binding, `binding.graduate.unlinked` refuses every user."
_SAME_INSTANT: Final = "Where both are the same instant, either is the answer."
_CODEC: Final = "The name of a codec may be in either case."
_BRACKET: Final = "A token is one bracket, or begins with a quote and so is not part of the text."
_NO_CONFLICT: Final = (
    "Nothing conflicts: lines run one after another, and `_unused_id` takes no id that is in use."
)
_PARSED_AGAIN: Final = "The same body is parsed again, to an equal value."
_MISSING: Final = "The example of a fault in `DETAILS` is MISSING, too."


def _not_strict(where: str, line: str, why: str) -> Iterator[tuple[Key, str]]:
    """Yield the three ways not to ask `zip` for equal lengths, each with the proof."""
    for other in ("strict=None", "strict=False", ""):
        yield (where, line, line.replace("strict=True", other)), why


EQUIVALENT: Final[dict[Key, str]] = {
    (
        "replay.log._NamedAnswer.value_at",
        "self.is_parsed = True",
        "self.is_parsed = None",
    ): _PARSED_AGAIN,
    (
        "replay.log._NamedAnswer.value_at",
        "self.is_parsed = True",
        "self.is_parsed = False",
    ): _PARSED_AGAIN,
    (
        "replay.log._LogRunner.__init__",
        "self._now = values.EPOCH",
        "self._now = None",
    ): "Each line sets the clock before it reads it.",
    **{
        (
            "replay.log._LogRunner.__init__",
            "self._name_room = 0",
            f"self._name_room = {other}",
        ): "Each line whose names are resolved sets it before that."
        for other in ("None", "1")
    },
    (
        "replay.log._LogRunner._run_line",
        "self._store.purge(now)",
        "self._store.purge(None)",
    ): "The store's clock shows the instant of the line.",
    **{
        (
            "replay.log._LogRunner._answer_request",
            "lambda _: new_ids or self._new_ids(recorded, now),",
            f"lambda _: new_ids or self._new_ids({other}),",
        ): "A GET reads, so that it takes no ids, and any other request has them."
        for other in ("None, now", "recorded, None", "now", "recorded, ")
    },
    **{
        ("replay.log._LogRunner._answer_request", before, after): _NO_CONFLICT
        for before, after in (
            ("stats=stats,", "stats=None,"),
            ("stats=stats, )", ")"),
            ("retry_policy=_ONE_ATTEMPT,", ""),
            *(
                (
                    'raise ArgumentError("new_ids", "ids that are not in use")',
                    f"raise ArgumentError({other})",
                )
                for other in (
                    'None, "ids that are not in use"',
                    '"new_ids", None',
                    '"ids that are not in use"',
                    '"new_ids", ',
                    '"XXnew_idsXX", "ids that are not in use"',
                    '"NEW_IDS", "ids that are not in use"',
                )
            ),
        )
    },
    (
        "replay.log._LogRunner._answer_fact",
        "answer = record(self._store, fact, retry_policy=_ONE_ATTEMPT)",
        "answer = record(self._store, fact, )",
    ): _NO_CONFLICT,
    **{
        (
            "replay.log._LogRunner._answer_ask",
            "access = decide_access(connection, package, now, era=present_era(snapshot.binding))",
            f"access = decide_access(connection, package, now, era={other})",
        ): "The purge after each line has revoked every connection of an earlier era."
        for other in ("None", "present_era(None)")
    },
    (
        "replay.log._LogRunner._resolve_names",
        'return _NAME.sub(self._named_value, value) if "{" in value else value',
        'return _NAME.sub(self._named_value, value) if ("{" in value) or True else value',
    ): "A text without a brace has no name to replace.",
    **dict(
        _not_strict(
            "replay.log._LogRunner._resolve_names",
            "names, held = zip(*value.pairs, strict=True)",
            "Each is a pair.",
        )
    ),
    **dict(
        _not_strict(
            "replay.log._LogRunner._resolve_names",
            "return DuplicateKeyObject(list(zip(names, map(self._resolve_names, held), strict=True)))",
            _SAME_LENGTH,
        )
    ),
    (
        "replay.log._body",
        'return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else ParsedBody(value)',
        'return value.encode("UTF-8", "surrogatepass") if isinstance(value, str) else ParsedBody(value)',
    ): _CODEC,
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
            "charged = zip(request.needs.buckets, buckets, stored, answer.states, strict=True)",
            _SAME_LENGTH,
        )
    ),
    (
        "rules.chain._preview_revoke",
        "return revoke_chain(connection, (), now, era=era, actor=Actor.APP)[0]",
        "return revoke_chain(connection, None, now, era=era, actor=Actor.APP)[0]",
    ): "An app's revocation reaches one connection, so the later ones are not read.",
    **{
        (f"rules.{where}", line, line.replace("era=era", "era=None")): _NO_STANDING
        for where, line in (
            (
                "triggers.authorize",
                "chain.outcome, connection, at, era=era, successor=successor, head=head",
            ),
            (
                "chain.reconnect",
                "return Refused(build_problem(asked.outcome, connection, at, era=era), asked.rules)",
            ),
            (
                "chain.reconnect",
                "problem = build_problem(refuse, connection, at, era=era, successor=successor, head=head)",
            ),
        )
    },
    (
        "rules.binding.tombstone",
        "coordinate=coordinate, user_id=None, state=row.outcome.to, generation=0, version=0",
        "coordinate=coordinate, user_id=None, state=None, generation=0, version=0",
    ): "The binding that is returned gets its state afterwards.",
    **{
        (
            "rules.chain._preview_reconnect",
            'action = NextAction("", LAST_INSTANT)',
            f"action = NextAction({other}, LAST_INSTANT)",
        ): "A connection keeps when its next action ends, and nothing else of it."
        for other in ("None", '"XXXX"')
    },
    (
        "rules.values.clamp_happened_at",
        "if happened_at <= now:",
        "if happened_at < now:",
    ): _SAME_INSTANT,
    **{
        (where, line, line.replace(*replaced)): _NEVER_REFUSED
        for replaced in (("happened=happened", "happened=None"), ("era=era", "era=None"))
        for where, line in (
            (
                "rules.triggers.require_action",
                (
                    "return _unmoved("
                    "row.outcome, rules=row.rules, connection=connection, happened=happened, era=era)"
                ),
            ),
            (
                "rules.triggers.expire",
                (
                    "return _unmoved("
                    "outcome, rules=rules, connection=connection, happened=happened, era=era)"
                ),
            ),
        )
    },
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
    **dict(
        _not_strict(
            "web.openapi.document._problems",
            'mapping: Schema = {code: each["$ref"] for code, each in zip(codes, references, strict=True)}',
            _SAME_LENGTH,
        )
    ),
    **dict(
        _not_strict(
            "web.openapi.document._problems",
            "for code, reply in zip(codes, replies, strict=True)",
            _SAME_LENGTH,
        )
    ),
    **{
        (f"web.asgi_wsgi.{where}", line.format("latin-1", "latin-1"), line.format(*names)): _CODEC
        for where, line in (
            (
                "asgi_request",
                'headers = [(name.decode("{}"), value.decode("{}")) for name, value in pairs]',
            ),
            (
                "asgi_headers",
                (
                    'return [(name.encode("{}"), value.encode("{}")) '
                    "for name, value in response.headers]"
                ),
            ),
        )
        for names in (("LATIN-1", "latin-1"), ("latin-1", "LATIN-1"))
    },
    (
        "web.asgi_wsgi.asgi_request",
        'target=target.decode("latin-1"),',
        'target=target.decode("LATIN-1"),',
    ): _CODEC,
    (
        "web.events._message",
        'subject = _SUBJECT_OF[kind.partition(".")[0]]',
        'subject = _SUBJECT_OF[kind.rpartition(".")[0]]',
    ): "Every kind has one dot.",
    (
        "web.json.DuplicateKeyObject.first_duplicate",
        (
            'raise AssertionError("an object without a repeated name")  '
            "# pragma: no cover - see class"
        ),
        "raise AssertionError(None)  # pragma: no cover - see class",
    ): "Only objects with a repeated name are made, so the line is never reached.",
    (
        "web.json.parse_json",
        "too_deep = len(decoded) > DEPTH_MAX and _is_too_deep(decoded)",
        "too_deep = len(decoded) >= DEPTH_MAX and _is_too_deep(decoded)",
    ): "A text of `DEPTH_MAX` characters has no room for more brackets.",
    (
        "web.json._integer",
        "if len(text) <= _DIGITS_AT_ONCE:",
        "if len(text) < _DIGITS_AT_ONCE:",
    ): "So many characters are one part of the digits, which has the same value.",
    (
        "web.json._is_too_deep",
        'if text.count("[") + text.count("{") <= DEPTH_MAX:',
        'if text.count("[") + text.count("{") < DEPTH_MAX:',
    ): "So many opening brackets are not nested any deeper.",
    **{
        ("web.json._is_too_deep", line.format(""), line.format("XX")): _BRACKET
        for line in ('if found[0] in "{0}[{{{0}":', 'elif found[0] in "{0}]}}{0}":')
    },
    (
        "web.openapi.schemas._schema_of",
        "return or_null(schema) if NoneType in arguments else schema",
        "return or_null(schema) if (NoneType in arguments) or True else schema",
    ): "A union without None has two types and so the empty schema, which allows null.",
    **{
        (
            "web.openapi.examples._fault",
            'return {"member": can_miss[0].name, "fault": Fault.MISSING}',
            f'return {{"member": can_miss[0].name, "{other}": Fault.MISSING}}',
        ): _MISSING
        for other in ("XXfaultXX", "FAULT")
    },
    (
        "web.wire_format._parse_utc",
        "return parse_time(name, value)",
        "return parse_time(None, value)",
    ): "Of the error that would name the member, `parse_member` makes its own.",
    (
        "web.request._is_text_pair",
        "case _: return False",
        "",
    ): "A function that ends answers None, which is as false.",
    (
        "service.changes.landing_changes",
        "EventKind.BINDING_SIGNED_UP, before=binding, after=landing.binding, now=at",
        "EventKind.BINDING_SIGNED_UP, before=None, after=landing.binding, now=at",
    ): "A sign-up only writes a binding that did not exist (`binding.complete-sign-up`), so it is None.",
    (
        "service.decide._buckets",
        "request.charges += tuple(",
        "request.charges = tuple(",
    ): "Nothing is charged before the buckets: the table of gates asks the limit after them.",
    (
        "service.decide._idempotency",
        "changes = Changes(request.charges) if request.charges else NO_CHANGES",
        "changes = Changes(request.charges) if (request.charges) or True else NO_CHANGES",
    ): "Changes without charges are equal to `NO_CHANGES`.",
    (
        "service.decide._limit",
        "if limit is None or key is None:",
        "if limit is None and key is None:",
    ): "There is a key exactly where there is a limit; `_limit_key` raises where it has no owner.",
    (
        "service.decide.decide",
        (
            'raise AssertionError("the rule itself decides")  '
            "# pragma: no cover - it is the last gate"
        ),
        "raise AssertionError(None)  # pragma: no cover - it is the last gate",
    ): "The last gate answers, so the line is never reached.",
    (
        "service.rulebook._reason_of",
        "return outcome.reason if isinstance(outcome, Deny | RefuseWith) else None",
        "return outcome.reason if (isinstance(outcome, Deny | RefuseWith)) or True else None",
    ): "`find_refusals` only finds rows whose outcome is one of the two.",
    (
        "service.revocation.revoke_by_actor",
        "answers = chain.revoke_chain(connection, (), now, era=era, actor=actor, happened_at=happened_at)",
        "answers = chain.revoke_chain(connection, None, now, era=era, actor=actor, happened_at=happened_at)",
    ): "The actor's revocation reaches one connection, so the later ones are not read.",
    (
        "service.hosted_page.HostedPage.user_id",
        "return None if user_id is None else UserId(user_id)",
        "return None if (user_id is None) and False else UserId(user_id)",
    ): "`UserId` is a type for checkers alone, and returns None for None.",
    (
        "service.hosted_page.user_subject",
        "return json.dumps((*attrs.astuple(coordinate), bound), ensure_ascii=False)",
        "return json.dumps((*attrs.astuple(coordinate), bound), ensure_ascii=None)",
    ): "`json` only asks whether it is true.",
    (
        "service.settings._check_paths",
        r'place = rule.method, re.sub(r"\{\w+\}", "{}", rule.path)',
        r'place = rule.method, re.sub(r"\{\w+\}", "XX{}XX", rule.path)',
    ): "It is only compared, and a path has no braces but those of its ids.",
    (
        "service.facts.graduated.Graduated.judge",
        'user_id = self.user_id or bound or UserId("")',
        "user_id = self.user_id or bound or UserId(None)",
    ): _NOT_BOUND,
    (
        "service.facts.graduated.Graduated.judge",
        'user_id = self.user_id or bound or UserId("")',
        'user_id = self.user_id or bound or UserId("XXXX")',
    ): _NOT_BOUND,
    **{
        (
            "service.settings._check_fields",
            "for member, field in zip(members, fields, strict=False):",
            f"for member, field in zip(members, fields, {other}):",
        ): "That is the default, or as false."
        for other in ("strict=None", "")
    },
}
"""The proof for each mutant, by its function, its line in the code and its changed line."""
