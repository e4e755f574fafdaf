"""`frozen`: whatever a class of attrs's own does, ours does, and its slots fill themselves."""

from __future__ import annotations

import copy
import inspect
import operator
import pickle
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from functools import partial
from itertools import product
from types import FunctionType
from typing import Final, Generic, TypeVar, cast

import attrs
import pytest

from curae_lifecycle.rules.connection import Connection, ConnectionIdentity
from curae_lifecycle.rules.credentials import ApiKey
from curae_lifecycle.rules.frozen import frozen
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.service.call import Call, Decision
from curae_lifecycle.service.changes import Changes, ConnectionWrite, Event
from curae_lifecycle.service.operations.revoke import Revoke
from curae_lifecycle.service.snapshot import NewIds
from curae_lifecycle.web.respond import Answer

Value = TypeVar("Value")


@pytest.mark.parametrize(
    "cls",
    [
        *(Answer, ApiKey, Call, Changes, Connection, ConnectionIdentity, ConnectionWrite),
        *(Decision, Done, Event, Ignored, NewIds, Refused, Revoke),
    ],
)
def test_what_every_request_makes_is_filled_by_its_slots(cls: type) -> None:
    assert not filled_by_attrs(cls)


def filled_by_attrs(cls: type) -> bool:
    return "_cached_setattr_get" in init_of(cls).__code__.co_names


def filled_while_open(cls: type) -> bool:
    return "__class__" in init_of(cls).__code__.co_names


def init_of(cls: type) -> FunctionType:
    return cast("FunctionType", cls.__init__)  # type: ignore[misc]  # of that class alone


@frozen
class Key:
    name: str
    _secret: str = attrs.field(repr=False)
    uses: int = 1

    def __attrs_post_init__(self) -> None:
        if not self._secret:
            raise ValueError(self.name)


KEY: Final = Key("k", "s")


def test_a_field_that_follows_from_the_others_is_filled_with_them() -> None:
    @frozen
    class Named:
        name: str
        length: int = attrs.field(
            init=False, default=attrs.Factory(lambda named: len(named.name), takes_self=True)
        )

    @frozen
    class Counted:
        name: str
        uses: list[str] = attrs.field(init=False, factory=list)

    assert Named("four").length == 4
    assert not filled_by_attrs(Named)
    assert Counted("four").uses == []
    assert filled_by_attrs(Counted)


def test_attrs_fills_its_own_classes() -> None:
    @attrs.frozen
    class Own:
        name: str

    assert filled_by_attrs(Own)
    assert not filled_by_attrs(Key)


def test_values_of_more_than_two_fields_are_filled_while_they_are_open() -> None:
    @frozen
    class Two:
        first: int
        second: int

    @frozen
    class Three(Two):
        third: int

    assert not filled_while_open(Two)
    assert filled_while_open(Three)
    (opened,) = Three.__subclasses__()
    assert opened.__setattr__ is object.__setattr__
    assert opened.__delattr__ is object.__delattr__


@pytest.mark.parametrize("name", ["name", "_secret", "unknown", "__class__"])
def test_nothing_of_a_value_is_written_or_deleted(name: str) -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        write(KEY, name)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        delattr(KEY, name)
    assert Key("k", "s") == KEY


def write(value: object, name: str) -> None:
    setattr(value, name, "other")


def test_what_follows_the_filling_sees_a_frozen_value_and_may_refuse_it() -> None:
    @frozen
    class Hasty:
        name: str

        def __attrs_post_init__(self) -> None:
            write(self, "name")

    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Hasty("k")
    with pytest.raises(ValueError, match="k"):
        Key("k", "")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_value_survives_pickle(protocol: int) -> None:
    assert pickle.loads(pickle.dumps(KEY, protocol)) == KEY  # noqa: S301 - ours


def test_a_value_is_copied() -> None:
    assert copy.copy(KEY) == KEY
    assert copy.deepcopy(KEY) == KEY


def test_a_value_is_hashed_compared_and_printed_by_its_fields() -> None:
    assert hash(KEY) == hash(Key("k", "s"))
    assert Key("k", "t") != KEY
    assert repr(KEY) == "Key(name='k', uses=1)"


def test_a_value_that_holds_itself_is_printed_once() -> None:
    @frozen
    class Holding:
        held: list[object]

    value = Holding([])
    value.held.append(value)
    assert repr(value) == "Holding(held=[...])"


def test_a_field_is_printed_by_what_it_asks_for() -> None:
    @frozen
    class Masked:
        name: str = attrs.field(repr=str.upper)
        number: int

    assert repr(Masked("n", 1)) == "Masked(name=N, number=1)"


def test_a_class_may_print_itself() -> None:
    @frozen
    class Quiet:
        name: str

        def __repr__(self) -> str:
            return "quiet"

    assert repr(Quiet("n")) == "quiet"
    assert not filled_by_attrs(Quiet)


def test_what_follows_from_others_sees_a_value_of_a_class_of_that_name() -> None:
    class Outer:
        @frozen
        class Inner:
            first: int
            second: int
            said: str = attrs.field(init=False, default=attrs.Factory(repr, takes_self=True))

    assert Outer.Inner(1, 2).said == "Outer.Inner(first=1, second=2, said=NOTHING)"


def test_a_value_is_referred_to_weakly() -> None:
    key = Key("k", "s")
    assert weakref.ref(key)() is key


def test_a_value_has_no_room_for_more_than_its_fields() -> None:
    assert not hasattr(KEY, "__dict__")


def test_a_value_evolves() -> None:
    assert attrs.evolve(KEY, uses=2) == Key("k", "s", 2)
    assert attrs.evolve(KEY, secret="t") == Key("k", "t")


def test_a_value_is_matched_by_position() -> None:
    match KEY:
        case Key(name, _, uses):
            assert (name, uses) == ("k", 1)


@frozen
class Link:
    number: int


@frozen
class Wide:
    first: int
    second: int
    third: int


# --- Classes of classes ----------------------------------------------------------------------


def test_a_class_of_values_is_extended_by_fields() -> None:
    @frozen
    class Longer(Link):
        name: str = "n"

    assert not filled_by_attrs(Longer)
    assert attrs.astuple(Longer(1, "m")) == (1, "m")
    assert Longer(1) != Link(1)


def test_a_class_without_fields_has_one_value() -> None:
    @frozen
    class Nothing:
        pass

    assert Nothing() == Nothing()
    assert repr(Nothing()).endswith("Nothing()")


def test_a_class_of_values_is_extended_by_nothing_but_behaviour() -> None:
    class Shown(Link):
        def shown(self) -> str:
            return f"<{self.number}>"

    class Slim(Link):
        __slots__ = ()

    assert Shown(1).shown() == "<1>"
    assert type(Slim(1)) is Slim
    assert not hasattr(Slim(1), "__dict__")
    for value in (Shown(1), Slim(1)):
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            write(value, "number")


def test_a_class_of_wide_values_is_extended_by_nothing_but_behaviour() -> None:
    @frozen
    class Wide:
        first: int
        second: int
        third: int

    class Shown(Wide):
        def shown(self) -> str:
            return f"<{self.first}{self.second}{self.third}>"

    class Slim(Wide):
        __slots__ = ()

    assert Shown(1, 2, 3).shown() == "<123>"
    assert type(Slim(1, 2, 3)) is Slim
    for value in (Wide(1, 2, 3), Shown(1, 2, 3), Slim(1, 2, 3)):
        assert attrs.astuple(value) == (1, 2, 3)
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            write(value, "first")


def test_a_wide_value_that_was_filled_is_closed_and_of_its_own_class() -> None:
    value = Wide(1, 2, 3)
    assert type(value) is Wide
    assert value == attrs.evolve(Wide(1, 2, 4), third=3)
    assert hash(value) == hash(Wide(1, 2, 3))
    Wide.__init__(value, 4, 5, 6)
    assert value == Wide(4, 5, 6)


def test_a_wide_class_is_extended_by_fields_and_abstract() -> None:
    class Named(ABC):
        __slots__ = ()

        @abstractmethod
        def name(self) -> str: ...

    @frozen
    class Wider(Wide, Named):
        fourth: int

        def name(self) -> str:
            return str(self.fourth)

    assert filled_while_open(Wider)
    assert attrs.astuple(Wider(1, 2, 3, 4)) == (1, 2, 3, 4)
    assert Wider(1, 2, 3, 4).name() == "4"


def test_a_class_of_values_is_abstract_or_generic() -> None:
    class Named(ABC):
        __slots__ = ()

        @abstractmethod
        def name(self) -> str: ...

    @frozen
    class Box(Named, Generic[Value]):
        value: Value

        def name(self) -> str:
            return f"box of {self.value}"

    assert Box[int](1).name() == "box of 1"
    assert not filled_by_attrs(Box)


def test_a_class_may_fill_itself() -> None:
    @frozen
    class Doubled:
        number: int

        def __init__(self, number: int) -> None:
            object.__setattr__(self, "number", number * 2)

    assert Doubled(1).number == 2


def test_an_exception_has_its_arguments() -> None:
    @frozen
    class RefusedError(Exception):
        member: str

    assert RefusedError(member="m").args == ("m",)


def test_what_has_no_slot_of_its_own_is_filled_by_attrs() -> None:
    @attrs.frozen(slots=False)
    class Loose:
        number: int

    @frozen
    class Tight(Loose):
        name: str

    assert Tight(1, "n") == Tight(1, "n")
    assert Tight(1, "n").number == 1


def test_what_comes_before_the_filling_comes_before_it() -> None:
    order: list[str] = []

    @frozen
    class Early:
        number: int

        def __attrs_pre_init__(self) -> None:
            order.append("before")

        def __attrs_post_init__(self) -> None:
            order.append("after")

    Early(1)
    assert order == ["before", "after"]


# --- Twins of attrs's own --------------------------------------------------------------------

FIELDS: Final[dict[str, Callable[[], object]]] = {
    "given": attrs.field,
    "hidden": lambda: attrs.field(repr=False, eq=False),
    "renamed": lambda: attrs.field(alias="another"),
    "converted": lambda: attrs.field(converter=str),
    "checked": lambda: attrs.field(validator=attrs.validators.lt(2)),
    "named": lambda: attrs.field(kw_only=True),
    "set": lambda: attrs.field(init=False, default=3),
    "unset": lambda: attrs.field(init=False),
    "_private": lambda: attrs.field(default=9),
    "defaulted": lambda: attrs.field(default=7),
    "made": lambda: attrs.field(factory=list),
    "derived": lambda: attrs.field(default=attrs.Factory(repr, takes_self=True)),
    "follows": lambda: attrs.field(init=False, default=attrs.Factory(held_by, takes_self=True)),
    "counted": lambda: attrs.field(init=False, factory=list),
}
"""Fields of every kind, those without a default first."""

CHOSEN: Final[list[tuple[str, ...]]] = [
    *((), ("given",), ("another",), ("converted",), ("checked",), ("named",), ("private",)),
    *(("defaulted",), ("made",), ("given", "named"), ("named", "private"), ("set",)),
]
"""What is given by name."""


def held_by(value: object) -> list[object]:
    """What the value holds so far, by name; a field that is not filled yet it has not."""
    return [(name, getattr(value, name, "unset")) for name in (*FIELDS, *WIDE)]


SEEN: Final[list[str]] = []
"""What followed a filling."""


WIDE: Final = ("wide", "wider", "widest")
"""Fields that are given by place, and make a class one of more than a few fields."""


@pytest.mark.parametrize("more", [(), WIDE], ids=["few", "many"])
@pytest.mark.parametrize("first", FIELDS)
def test_a_class_is_the_twin_of_one_of_attrs_own(first: str, more: tuple[str, ...]) -> None:
    for second, follows in product(FIELDS, (False, True)):
        ours, own = (
            twin(each, {first, second}, more, follows=follows) for each in (frozen, attrs.frozen)
        )
        assert shown(ours) == shown(own)
        for places, named in product(range(len(more), len(more) + 3), CHOSEN):
            assert outcome(ours, places, named) == outcome(own, places, named)


@pytest.mark.parametrize(
    "option", ["kw_only", "order", "cache_hash", "slots", "weakref_slot", "match_args"]
)
def test_a_class_with_an_option_is_the_twin_of_one_of_attrs_own(option: str) -> None:
    names = ["given", "defaulted"]
    for value in (True, False):
        ours, own = (
            twin(partial(decorator, **{option: value}), names, follows=False)
            for decorator in (frozen, attrs.frozen)
        )
        assert shown(ours) == shown(own)
        for named in ([], names):
            assert outcome(ours, 2 - len(named), named) == outcome(own, 2 - len(named), named)


def twin(
    decorator: Callable[[type], type],
    names: Collection[str],
    more: tuple[str, ...] = (),
    *,
    follows: bool,
) -> type:
    members: dict[str, object] = {name: attrs.field() for name in more}
    members |= {name: FIELDS[name]() for name in FIELDS if name in names}
    members["__annotations__"] = dict.fromkeys(members, "int")
    if follows:
        members["__attrs_post_init__"] = lambda it: SEEN.append(repr(it))
    return decorator(type("Twin", (), members))


def shown(cls: type) -> list[object]:
    """What a reader or a tool sees of how values are made."""
    init = init_of(cls)
    return [
        init.__annotations__,
        *[(made.__doc__, made.__module__, made.__qualname__) for made in (init, cls.__repr__)],
        str(inspect.signature(cls)),
        getattr(cls, "__match_args__", ()),
        sorted(vars(cls)),
    ]


def outcome(cls: type, places: int, named: Collection[str]) -> list[object]:
    """All there is to see of the value that is made of ones and twos, or of why it is not."""
    SEEN.clear()
    try:
        value = cls(*[1] * places, **dict.fromkeys(named, 2))
        held = [getattr(value, field.name, "unset") for field in attrs.fields(cls)]
        return [repr(value), held, value == copy.copy(value), *SEEN]
    except (AttributeError, TypeError, ValueError) as refused:
        return [type(refused), str(refused), *SEEN]


def test_a_class_keeps_what_it_says_of_inequality_itself() -> None:
    @frozen
    class Same:
        name: str

        def __ne__(self, _: object) -> bool:
            return False

    assert operator.ne(Same("k"), Same("l")) is False
