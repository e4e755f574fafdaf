"""Settings of a server."""

from __future__ import annotations

import re
from collections.abc import Callable
from inspect import isabstract
from typing import Final, cast

import attrs

from curae_lifecycle.rules.errors import ArgumentError, describe
from curae_lifecycle.rules.problems import DEFAULT_TYPE_BASE
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import Environment, check_environment, check_type, parse_opaque
from curae_lifecycle.service.operations.operation import Operation
from curae_lifecycle.service.operations.registry import OPERATIONS

SPELLINGS: Final = ("ACTIVE", "AUTHORIZED")
"""The spellings of ACTIVE on the wire [P]."""


@attrs.frozen
class Settings:
    """The settings of a server; each `Call` carries them.

    Attributes:
        environment: The one environment that the server serves; `None` for both.
        buckets: The rate-limit buckets that each API key has; their names are unique.
        type_base: The base URI of the `type` of every problem.
        active_spelling: The spelling of the status ACTIVE on the wire: ACTIVE, or AUTHORIZED [P].
        operations: The operations that the server serves; no two have the same name, or the same
            method and path. The default is `OPERATIONS`.
    """

    environment: Environment | None = None
    buckets: tuple[Bucket, ...] = ()
    type_base: str = DEFAULT_TYPE_BASE
    active_spelling: str = "ACTIVE"
    # A factory, because `help` would show a default of seven classes in full.
    operations: tuple[type[Operation], ...] = attrs.field(factory=lambda: OPERATIONS)

    def __attrs_post_init__(self) -> None:
        """Check the type of each setting, the spelling, and that names and paths differ.

        Raises:
            ArgumentError: A setting is of another type, the spelling is unknown, two buckets or
                operations have the same name, two operations have the same method and path, or an
                operation has an abstract method, no reply, no rule, or a rule with a wrong method,
                path or member.
        """
        if self.environment is not None:
            check_environment("environment", self.environment)
        parse_opaque("type_base", self.type_base)
        _check_tuple("buckets", self.buckets, _is_bucket, allowed="a tuple of Bucket")
        _check_tuple(
            "operations", self.operations, _is_operation, allowed="a tuple of Operation classes"
        )
        if self.active_spelling not in SPELLINGS:
            allowed = f"one of {', '.join(SPELLINGS)}"
            raise ArgumentError(
                "active_spelling", allowed, describe(self.active_spelling, "other text")
            )
        if len({bucket.name for bucket in self.buckets}) < len(self.buckets):
            raise ArgumentError("buckets", "of different names")
        for kind in self.operations:
            _check_class(kind)
        if len({each.rule.name for each in self.operations}) < len(self.operations):
            raise ArgumentError("operations", "of different names")
        _check_paths(self.operations)
        for kind in self.operations:
            _check_rule(kind)

    def __repr__(self) -> str:
        # Only what differs from the default, because signatures in `help` show default settings.
        values = [
            (field.name, getattr(self, field.name), getattr(DEFAULT_SETTINGS, field.name))
            for field in attrs.fields(Settings)
        ]
        changed = [f"{name}={value!r}" for name, value, default in values if value != default]
        return f"Settings({', '.join(changed)})"


def _check_tuple(
    argument: str, value: object, is_item: Callable[[object], bool], allowed: str
) -> None:
    check_type(argument, value, tuple, allowed=allowed)
    for item in cast("tuple[object, ...]", value):
        if not is_item(item):
            raise ArgumentError(argument, allowed, f"one with {describe(item)}")


def _check_paths(operations: tuple[type[Operation], ...]) -> None:
    seen: dict[tuple[str, str], str] = {}
    for kind in operations:
        rule = kind.rule
        # Two ids in one place match the same paths, whatever their names.
        place = rule.method, re.sub(r"\{\w+\}", "{}", rule.path)
        other = seen.setdefault(place, rule.name)
        if other != rule.name:
            both = f"{other} and {rule.name}, both {rule.method} {rule.path}"
            raise ArgumentError("operations", "of different methods and paths", both)


def _check_class(kind: type[Operation]) -> None:
    has_all = hasattr(kind, "rule") and hasattr(kind, "reply")
    if not has_all or isabstract(kind):
        raise ArgumentError(
            kind.__name__, "an operation with a rule, a reply and no abstract method"
        )


def _check_rule(kind: type[Operation]) -> None:
    rule, name = kind.rule, f"{kind.__name__}.rule"
    if not re.fullmatch("[A-Z]+", rule.method):
        raise ArgumentError(f"{name}.method", "in capitals, such as GET")
    if not re.fullmatch("/[^?#]*", rule.path):
        raise ArgumentError(f"{name}.path", "one that begins with / and has no query")
    ids = [member.name for member in rule.ids]
    if sorted(re.findall(r"\{(\w+)\}", rule.path)) != sorted(ids):
        shown = ", ".join(ids) or "none"
        raise ArgumentError(f"{name}.path", f"one with each of `ids` and no other: {shown}")
    names = [member.name for member in rule.members]
    if len(set(names)) < len(names):
        raise ArgumentError(f"{name}.members", "of different names")
    reader = next(each for each in kind.__mro__ if "from_members" in vars(each))
    if reader is Operation:
        _check_fields(f"{name}.members", names, kind.__match_args__)


def _check_fields(argument: str, members: list[str], fields: tuple[str, ...]) -> None:
    shown = ", ".join(fields) or "none"
    if len(members) > len(fields):
        raise ArgumentError(argument, f"no more than the fields: {shown}")
    for member, field in zip(members, fields, strict=False):
        # A field may have any name, but not that of another field's member.
        own = re.sub("([A-Z])", r"_\1", member).lower()
        if own != field and own in fields:
            raise ArgumentError(argument, f"in the order of the fields: {shown}")


def _is_bucket(item: object) -> bool:
    return isinstance(item, Bucket)


def _is_operation(item: object) -> bool:
    return isinstance(item, type) and issubclass(item, Operation)


DEFAULT_SETTINGS: Final = Settings()
"""The default settings: both environments, no buckets."""
