"""Makers: what one makes is what its class makes."""

from __future__ import annotations

import inspect
import pickle
import sys
from importlib import import_module
from types import FunctionType
from typing import Final, cast

import attrs
import pytest

from curae_lifecycle.rules.frozen import frozen, maker
from curae_lifecycle.rules.idempotency import RecordKey
from curae_lifecycle.rules.values import AppUserId, ConnectionId
from curae_lifecycle.service.call import Call
from curae_lifecycle.service.changes import BucketKey, LimitKey
from curae_lifecycle.service.operations.revoke import Revoke
from curae_lifecycle.service.settings import DEFAULT_SETTINGS
from curae_lifecycle.service.snapshot import NewIds
from tests.server import CALLER, new_ids
from tests.test_frozen import KEY, Key, init_of, write

# Makers are found in what is loaded: these have some that nothing else here loads.
for _module in ("stores.memory", "stores.outbox", "stores.serving", "replay.log"):
    import_module(f"curae_lifecycle.{_module}")


GIVEN: Final[dict[type, list[object]]] = {
    Call: [CALLER, Revoke(ConnectionId("c")), "key", DEFAULT_SETTINGS],
    RecordKey: [CALLER.key_owner, "key"],
    BucketKey: [CALLER.key_owner, "policy"],
    LimitKey: [CALLER.coordinate(AppUserId("user")).app_user, "policy"],
    NewIds: [getattr(new_ids(), field.name) for field in attrs.fields(NewIds)],
}
"""What classes are made of that look into their parts."""


def makers() -> dict[str, FunctionType]:
    """Every maker of the package that is loaded, by its class."""
    found: dict[str, FunctionType] = {}
    for name, module in sorted(sys.modules.items()):
        if name.startswith("curae_lifecycle."):
            for held in vars(module).values():
                if isinstance(held, FunctionType) and "_own" in held.__globals__:
                    found[held.__name__] = held
    return found


@pytest.mark.parametrize("make", makers().values(), ids=makers())
def test_a_maker_makes_what_its_class_makes(make: FunctionType) -> None:
    cls = cast("type[attrs.AttrsInstance]", make.__globals__["_own"])
    assert parameters_of(make) == parameters_of(init_of(cls))
    # A traceback and `help` name it.
    assert make.__name__ == make.__qualname__ == make.__code__.co_name == f"make_{cls.__name__}"
    assert make.__doc__ == f"What `{cls.__qualname__}` makes."
    given: list[object] = [f"value-{number}" for number, _ in enumerate(parameters_of(make))]
    given = GIVEN.get(cls, given)
    made, own = make(*given), cls(*given)
    assert type(made) is cls
    assert made == own
    assert hash(made) == hash(own)
    assert repr(made) == repr(own)
    assert [held(made, each) for each in attrs.fields(cls)] == [
        held(own, each) for each in attrs.fields(cls)
    ]
    assert pickle.loads(pickle.dumps(made)) == own  # noqa: S301 - ours
    assert make(**dict(zip(parameters_of(make), given, strict=True))) == own
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        write(made, attrs.fields(cls)[0].name)


def held(value: object, field: attrs.Attribute[object]) -> object:
    return getattr(value, field.name)


def parameters_of(function: FunctionType) -> dict[str, object]:
    parameters = inspect.signature(function).parameters.values()
    return {each.name: each.default for each in parameters if each.name != "self"}


def test_the_hot_paths_have_makers() -> None:
    assert len(makers()) >= 35


def test_a_maker_runs_what_follows_the_filling() -> None:
    make = cast("FunctionType", maker(Key))
    assert make.__name__ == make.__code__.co_name == "make_Key"
    assert make.__doc__ == "What `Key` makes."
    assert make("k", "s") == KEY
    assert make("k", secret="s", uses=1) == KEY
    with pytest.raises(ValueError, match="k"):
        make("k", "")
    with pytest.raises(TypeError):
        make("k")


def test_what_fills_has_the_name_of_what_it_stands_for() -> None:
    @frozen
    class Named:
        name: str

    make = cast("FunctionType", maker(Named))
    assert make("k") == Named("k")
    for function, name in ((init_of(Named), "__init__"), (make, "make_Named")):
        assert function.__name__ == name
        # These are what a traceback shows.
        assert function.__code__.co_name == function.__code__.co_qualname == name


def test_a_maker_leaves_to_the_class_what_it_cannot_fill() -> None:
    @frozen(kw_only=True)
    class Named:
        name: str

    assert maker(Named) is Named
    assert maker(Named)(name="k") == Named(name="k")
