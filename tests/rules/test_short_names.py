"""Short names of enumeration members: each is bound to the right member."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from types import ModuleType

import pytest

from curae_lifecycle import rules
from curae_lifecycle.rules.connection import Standing


def unpacked(module: ModuleType) -> dict[str, str]:
    """Return the names that a module unpacks enumerations into, with the enumeration of each."""
    return {
        ast.unparse(name): ast.unparse(node.value)
        for node in ast.parse(inspect.getsource(module)).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple)
        for name in node.targets[0].elts
    }


MODULES = {
    name: module
    for _, name, _ in pkgutil.iter_modules(rules.__path__)
    if unpacked(module := importlib.import_module(f"curae_lifecycle.rules.{name}"))
}
OTHER_WORDS = {
    "attempt": {
        "ANSWERED": "RESOLVE_ANSWERED",
        "NOTHING": "RESOLVE_NOTHING",
        "MINE": "CURRENT",
        "OTHERS": "OTHER",
    },
    "idempotency": {
        "DIFFERENT": "OTHER",
        "EXECUTE_AGAIN": "EXECUTE",
        "OUTCOME_UNKNOWN": "UNKNOWN",
    },
    "triggers": {
        "NO_SUCCESSOR": "NONE",
        "SUCCESSOR_PENDING": "PENDING",
        "SUCCESSOR_OTHER": "OTHER",
    },
    "session": {
        "A": "EXISTING_ACTIVE_HANDOFF",
        "B": "NEW_ACTIVE_SIGNUP_HANDOFF",
        "C": "SILENT_LIMITED",
        "PREFERRED": "SIGN_UP",
        "NOT_PREFERRED": "NONE",
    },
}
"""Short names that differ from the member's name, by module."""


@pytest.mark.parametrize("name", MODULES)
def test_alias_of_an_enum_member_has_its_name_unless_listed(name: str) -> None:
    module = MODULES[name]
    others: dict[str, str] = {}
    for short, enumeration in unpacked(module).items():
        member = getattr(module, short)
        assert type(member) is getattr(module, enumeration)
        if member.name != short:
            others[short] = member.name
    assert others == OTHER_WORDS.get(name, {})


def test_scan_finds_the_modules_that_alias_enum_members() -> None:
    assert set(MODULES) >= {"access", "binding", "connection", "problems", "triggers", *OTHER_WORDS}
    assert unpacked(MODULES["connection"]).keys() >= Standing.__members__.keys()
