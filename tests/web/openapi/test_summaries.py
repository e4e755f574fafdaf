"""The summary, tag and scope that the OpenAPI document has for each operation."""

from __future__ import annotations

from typing import Final

from tests.web.openapi.test_behaviour import OPERATIONS

WRITE: Final = "connection:write"
SUMMARIES: Final = {
    "createConnection": ("Create a pending connection", "connections", WRITE),
    "getConnection": ("Get a connection", "connections", None),
    "reconnect": (
        "Recover a connection that has lapsed, ended or needs action",
        "connections",
        WRITE,
    ),
    "revoke": ("Revoke a connection, for ever", "connections", WRITE),
    "initiate": ("Start a connect session", "curae-connect", WRITE),
    "getAccountState": ("Get the state of a user's account", "curae-connect", None),
    "startGraduation": ("Start the graduation of a LIMITED account", "curae-connect", WRITE),
}
"""The summary, tag and scope of each operation, written by hand."""


def test_openapi_summaries_tags_and_scopes_are_the_expected_ones() -> None:
    found = {
        name: (it.operation["summary"], it.operation["tags"], it.operation.get("x-scope"))
        for name, it in OPERATIONS.items()
    }
    assert found == {name: (text, [tag], scope) for name, (text, tag, scope) in SUMMARIES.items()}
