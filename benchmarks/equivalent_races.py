"""Equivalent mutants of the simulation's parts and of the races, with proofs.

No caller can distinguish them from the code.

The law of this module is that of `equivalent.py`: **every entry has a proof**.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from benchmarks.equivalent import Key

_FIVE: Final = "There are five titles and five counters, whatever the world."
_ONE_CONNECTION: Final = (
    "The database is in memory and has this connection alone, so no lock waits."
)


def _not_strict(where: str, line: str, why: str) -> Iterator[tuple[Key, str]]:
    """Yield the three ways not to ask `zip` for equal lengths, each with the proof."""
    for other in ("strict=None", "strict=False", ""):
        yield (where, line, line.replace("strict=True", other)), why


EQUIVALENT_RACES: Final[dict[Key, str]] = {
    **{
        (f"testing.races.{where}", line, line.replace("stores()[0]", "stores()[1]")): (
            "Both objects are alike, and new ones if requests are charged apart."
        )
        for where, line in (
            ("arena.StoreArena.set_up", "commit_with_retries(self.stores()[0], action)"),
            (
                "runner.run_in_sequence",
                "decided += commit_with_retries(arena.stores()[0], actions[name])",
            ),
            (
                "three_way._race",
                "stores = {name: arena.stores()[0] for name in dict.fromkeys(schedule)}",
            ),
        )
    },
    (
        "testing.races.arena._load_values",
        "if isinstance(each, PageWrite) and each.before == each.after",
        "if isinstance(each, PageWrite) or each.before == each.after",
    ): "Facts write only pages that are loaded anyway, and other writes change their value.",
    (
        "testing.races.outbox.OutboxRecorder.commit",
        "self._is_certain = False",
        "self._is_certain = None",
    ): "It is only asked whether it is true.",
    **dict(
        _not_strict(
            "testing.simulation.summary.Summary.add",
            "for mine, theirs in zip(self._counts(), other._counts(), strict=True):",
            _FIVE,
        )
    ),
    **dict(
        _not_strict(
            "testing.simulation.summary.Summary.lines",
            "for title, counts in zip(titles, self._counts(), strict=True):",
            _FIVE,
        )
    ),
    **{
        (
            "testing.simulation.outbox._Database.__init__",
            'self.connection = sqlite3.connect(":memory:", isolation_level="IMMEDIATE")',
            f'self.connection = sqlite3.connect(":memory:", {other})',
        ): _ONE_CONNECTION
        for other in ("", 'isolation_level="immediate"')
    },
    (
        "testing.simulation.outbox.SimulatedOutbox.post",
        "Dialect.SQLITE,",
        "None,",
    ): "Only the statements of writes and pages depend on the dialect, and there are none.",
    (
        "testing.simulation.outbox.SimulatedOutbox.post",
        "loaded=Loaded(Snapshot(), clock),",
        "loaded=Loaded(None, clock),",
    ): "Only the instant and the versions of the loaded values are read.",
    (
        "testing.simulation.journal.Journal.lines",
        "entries = [] if user is None else self._entries.get(user, [])",
        "entries = [] if (user is None) and False else self._entries.get(user, [])",
    ): "No entry has the user None.",
    (
        "testing.simulation.journal._to_json",
        'return json.dumps(line, ensure_ascii=True, separators=(",", ":"))',
        'return json.dumps(line, separators=(",", ":"))',
    ): "True is the default.",
    (
        "testing.simulation.server.SimulatedServer.load",
        'digest = "" if api_key is None else api_key.digest()',
        'digest = "XXXX" if api_key is None else api_key.digest()',
    ): "Neither is the digest of a key, and the request is refused before its load.",
    **{
        (
            f"testing.simulation.server.SimulatedServer.{method}",
            'loaded = self._load_record("", key, now)',
            f"loaded = self._load_record({other}, key, now)",
        ): "An operator has no API key, so no caller is loaded, and none is read."
        for method in ("resolve_attempt", "erase_response")
        for other in ("None", '"XXXX"')
    },
    (
        "testing.races.runner.race_all",
        "tenant, store = reference.set_up(scenario), reference.stores()[0]",
        "tenant, store = reference.set_up(scenario), reference.stores()[1]",
    ): "Both are the same store.",
    (
        "testing.races.scenarios.RaceTenant.actions",
        '"get": request(GetConnection(first), 12),',
        '"get": request(GetConnection(first), 13),',
    ): "A get has no key and no new ids, so it uses no number.",
    **dict(
        _not_strict(
            "testing.races.three_way.schedules_of",
            "for place, step in zip(places, sorted(steps[each] for each in places), strict=True):",
            "Both come from the same list of places.",
        )
    ),
    (
        "testing.races.three_way._race",
        "if all(ended_at[later] > loaded_at[earlier] for earlier, later in combinations(order, 2))",
        "if all(ended_at[later] >= loaded_at[earlier] for earlier, later in combinations(order, 2))",
    ): "They are two actions, and each step is of one action.",
    (
        "testing.races.arena._written",
        'return "", None',
        'return "XXXX", None',
    ): "A value without needs is left out, whatever its name.",
}
"""The proof for each mutant, by its function, its line in the code and its changed line."""
