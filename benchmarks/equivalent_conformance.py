"""Equivalent mutants of the conformance kit, with proofs.

No server and no reader can distinguish them from the code.

The law of this module is that of `equivalent.py`: **every entry has a proof**.
"""

from __future__ import annotations

from typing import Final

from benchmarks.equivalent import Key

_KIT: Final = "testing.conformance"

_SAME_LENGTH: Final = "The runner gives one outcome for each of the concurrent steps."
_DIGIT: Final = "A name is a random UUID of version 4 either way."
_RANDOM: Final = "Each run gets a random seed of some length."
_ARBITRARY: Final = "The name of the app user is arbitrary; the digits after it make it unique."

EQUIVALENT_CONFORMANCE: Final[dict[Key, str]] = {
    (
        f"{_KIT}.client.App.account_state",
        "query = f\"appUserId={quote(user, safe='')}\"",
        "query = f\"appUserId={quote(user, safe='XXXX')}\"",
    ): "`quote` never quotes a letter.",
    (
        f"{_KIT}.client.as_instant",
        "return values.parse_time(name, value)",
        "return values.parse_time(None, value)",
    ): "The parser uses the name in its error alone, which is dropped.",
    **{
        (
            f"{_KIT}.failures.describe_outcome",
            "for each, its_outcome in zip(steps, outcomes, strict=True):",
            f"for each, its_outcome in zip(steps, outcomes, {other}):",
        ): _SAME_LENGTH
        for other in ("strict=None", "strict=False", "")
    },
    (
        f"{_KIT}.failures.failure_of",
        "check: Check, error: Exception, history: Iterable[HistoryEntry], *, last_status: int = 0",
        "check: Check, error: Exception, history: Iterable[HistoryEntry], *, last_status: int = 1",
    ): "Neither status is that of a server error.",
    **{
        (
            f"{_KIT}.probe._answers",
            'response = yield from send(app.account_state(app.names.word("user")))',
            f"response = yield from send(app.account_state(app.names.word({other})))",
        ): _ARBITRARY
        for other in ("None", '"XXuserXX"', '"USER"')
    },
    (
        f"{_KIT}.replies._shown",
        'return "\\n".join(value for _, value in answer.headers).encode() + answer.body',
        'return "XX\\nXX".join(value for _, value in answer.headers).encode() + answer.body',
    ): "An API key is one line, so no two values make one.",
    **{
        (
            f"{_KIT}.steps.Names.uuid",
            'variant = "89ab"[int(digits[16], 16) % 4]',
            f'variant = "89ab"[int({other}) % 4]',
        ): _DIGIT
        for other in ("digits[17], 16", "digits[16], 17")
    },
    **{
        (
            f"{_KIT}.{function}",
            f"{start}secrets.token_hex(8)",
            f"{start}secrets.token_hex({other})",
        ): (_RANDOM)
        for function, start in (
            ("suite.run_repeatable", "seed = "),
            ("suite.run_repeatable_async", "seed = "),
        )
        for other in ("None", "9")
    },
    **{
        (
            f"{_KIT}.store_server.StoreHooks.replace_buckets",
            "self._store.generation += 1",
            f"self._store.generation {other}",
        ): "Each number that was not used before gives the buckets new names."
        for other in ("-= 1", "+= 2")
    },
    (
        f"{_KIT}.suite.pass_fail_or_skip",
        "case None: return",
        "",
    ): "A result that fits no case ends the function, too.",
    (
        f"{_KIT}.suite.pass_fail_or_skip",
        "pytest.fail(result.message, pytrace=False)",
        "pytest.fail(result.message, pytrace=None)",
    ): "pytest asks only whether it is true.",
    **{
        (
            f"{_KIT}.pytest_plugin._CheckTests.{function}",
            "return NotRun(check.name, reason_not_run(self.down[1]))",
            "return NotRun(None, reason_not_run(self.down[1]))",
        ): "The test is skipped with the reason alone."
        for function in ("_judge", "_judge_async")
    },
    **{
        (
            f"{_KIT}.{function}",
            "seed = secrets.token_hex(8) if seed is None else seed",
            f"seed = secrets.token_hex({other}) if seed is None else seed",
        ): _RANDOM
        for function in ("runner.run", "runner.run_async", "store_kit.check_store")
        for other in ("None", "9")
    },
    (
        f"{_KIT}.fact_hooks.FactHooks.graduate",
        "return self.record(Graduated(coordinate, None if user_id is None else UserId(user_id)))",
        (
            "return self.record(Graduated(coordinate, "
            "None if (user_id is None) and False else UserId(user_id)))"
        ),
    ): "`UserId` is a NewType, which returns None for None.",
    **{
        (
            f"{_KIT}.runner._Results.__init__",
            "self._began = 0.0",
            f"self._began = {other}",
        ): "`checks` sets it before each check."
        for other in ("None", "1.0")
    },
    (
        f"{_KIT}.bodies._first_fault",
        "refused = read(request, caller, _ANY_TIME, settings=Settings(operations=operations))",
        "refused = read(request, caller, None, settings=Settings(operations=operations))",
    ): "The time decides nothing about a request that cannot be read.",
    (
        f"{_KIT}.bodies._refuses_all_bodies",
        "yield from _expect_bodies_refused(app, kind, app.names.uuid(), *BAD_BODIES)",
        "yield from _expect_bodies_refused(app, kind, None, *BAD_BODIES)",
    ): "Neither of the two operations takes the id of a connection.",
    **{
        (
            f"{_KIT}.bodies._bad_targets",
            'value = value_of(each, member_values(""), in_query=True)',
            f"value = value_of(each, member_values({other}), in_query=True)",
        ): "The last sample is no id either way."
        for other in ("None", '"XXXX"')
    },
    (
        f"{_KIT}.runner._CheckRun.__init__",
        "self.abandoned = False",
        "self.abandoned = None",
    ): "It is only asked whether it is true.",
    (
        f"{_KIT}.runner._CheckRun.__init__",
        "self.last_status = 0",
        "self.last_status = 1",
    ): "Neither status is that of a server error.",
}
