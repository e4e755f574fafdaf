"""Values of `frozen` are equal, and hashed, as those of attrs's own are, but for what both hold."""

from __future__ import annotations

import operator
from collections.abc import Callable
from itertools import combinations, product
from math import nan
from typing import Final, NoReturn

import attrs
import pytest

from curae_lifecycle.rules.credentials import KeyOwner
from curae_lifecycle.rules.frozen import frozen
from curae_lifecycle.rules.idempotency import IdempotencyKey, RecordKey
from curae_lifecycle.rules.values import (
    ApiKeyId,
    AppId,
    AppUser,
    AppUserId,
    CustomerAccountId,
    Environment,
)
from curae_lifecycle.service.changes import BucketKey, LimitKey

FIELDS: Final[dict[str, Callable[[], object]]] = {
    "plain": attrs.field,
    "hidden": lambda: attrs.field(eq=False),
    "by_key": lambda: attrs.field(eq=abs),
    "hashed": lambda: attrs.field(eq=False, hash=True),
    "unhashed": lambda: attrs.field(hash=False),
}
"""Fields of every kind that is compared or hashed in its own way."""


def twin(decorator: Callable[[type], type], names: tuple[str, ...]) -> type:
    members: dict[str, object] = {name: FIELDS[name]() for name in names}
    members["__annotations__"] = dict.fromkeys(names, "int")
    return decorator(type("Twin", (), members))


@pytest.mark.parametrize("many", range(4))
def test_values_are_equal_and_hashed_as_those_of_its_twin_of_attrs_own(many: int) -> None:
    for names in combinations(FIELDS, many):
        ours, own = (twin(each, names) for each in (frozen, attrs.frozen))
        held = list(product((1, -1, 2), repeat=many))
        for one, other in product(held, held):
            assert judged(ours(*one), ours(*other)) == judged(own(*one), own(*other))
        # The functions say of themselves what attrs's do.
        for name in ("__eq__", "__hash__"):
            assert said_of(ours, name) == said_of(own, name)


def judged(one: object, other: object) -> tuple[bool, bool, bool]:
    return one == other, one != other, hash(one) == hash(other)


def said_of(cls: type, name: str) -> tuple[object, ...]:
    function = getattr(cls, name)
    return function.__doc__, function.__module__, function.__qualname__, function.__name__


@frozen
class Pair:
    first: object
    second: object


@frozen
class Other:
    first: object
    second: object


class Likeness(Pair):
    """A class below, and no more."""


@pytest.mark.parametrize("other", [Other(1, 2), Likeness(1, 2), (1, 2), None])
def test_only_values_of_the_very_same_class_are_equal(other: object) -> None:
    assert operator.ne(Pair(1, 2), other)
    assert not operator.eq(other, Pair(1, 2))
    assert Pair.__eq__(Pair(1, 2), other) is NotImplemented
    assert hash(Pair(1, 2)) != hash(Other(1, 2))


class Asked:
    """Says of what it was compared with, and is equal to nothing."""

    def __eq__(self, other: object) -> NoReturn:
        raise AssertionError(other)

    __hash__ = object.__hash__


def test_what_both_hold_is_not_asked_whether_it_is_equal_to_itself() -> None:
    asked = Asked()
    assert Pair(asked, nan) == Pair(asked, nan)
    with pytest.raises(AssertionError):
        operator.eq(Pair(asked, 1), Pair(Asked(), 1))
    # Where they are different already, what comes after is not asked.
    assert Pair(1, asked) != Pair(2, Asked())
    assert Pair(nan, 1) != Pair(float("nan"), 1)


def test_a_class_keeps_what_it_says_of_equality_or_of_its_hash_itself() -> None:
    @frozen
    class Same:
        name: str

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Same)

        __hash__ = None  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType] - as Python has it

    @frozen
    class Few:
        name: str

        def __hash__(self) -> int:
            return 7

    assert Same("k") == Same("l")
    with pytest.raises(TypeError, match="unhashable"):
        hash(Same("k"))
    assert (hash(Few("k")), hash(Few("l"))) == (7, 7)
    assert Few("k") == Few("k")
    assert Few("k") != Few("l")


def test_a_value_that_holds_what_has_no_hash_has_none() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(Pair([], 1))


# --- What is kept under a key -----------------------------------------------------------------


def owner(api_key: str, app: str = "app") -> KeyOwner:
    return KeyOwner(ApiKeyId(api_key), Environment.LIVE, AppId(app), CustomerAccountId("account"))


def user(account: str, name: str, environment: Environment = Environment.LIVE) -> AppUser:
    return AppUser(environment, CustomerAccountId(account), AppUserId(name))


@pytest.mark.parametrize(
    "keys",
    [
        [RecordKey(owner(api_key), IdempotencyKey(key)) for api_key, key in product("ab", "cd")],
        [BucketKey(owner(api_key), policy) for api_key, policy in product("ab", "cd")],
        [LimitKey(user(account, name), "limit") for account, name in product("ab", "cd")],
    ],
    ids=["records", "buckets", "limits"],
)
def test_keys_are_hashed_by_the_parts_that_tell_most_of_them_apart(
    keys: list[RecordKey] | list[BucketKey] | list[LimitKey],
) -> None:
    assert len({hash(key) for key in keys}) == len(keys)
    for key in keys:
        again = attrs.evolve(key)
        assert again == key
        assert hash(again) == hash(key)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            RecordKey(owner("a"), IdempotencyKey("k")),
            RecordKey(owner("a", "b"), IdempotencyKey("k")),
        ),
        (BucketKey(owner("a"), "p"), BucketKey(owner("a", "b"), "p")),
        (LimitKey(user("a", "n"), "p"), LimitKey(user("a", "n"), "q")),
        (LimitKey(user("a", "n"), "p"), LimitKey(user("a", "n", Environment.TEST), "p")),
    ],
)
def test_keys_that_differ_in_another_part_are_two_keys_all_the_same(
    one: RecordKey | BucketKey | LimitKey, other: RecordKey | BucketKey | LimitKey
) -> None:
    assert one != other
    assert len({one, other}) == 2
