"""`frozen`: attrs's own, but its values are made in a third to two thirds of the time.

attrs fills a frozen value through `object.__setattr__`, which looks each slot up by its name.
Here a value is filled while it is of an *open* class of the same slots, whose attributes are
written as any other object's are, and is then given its own class again. A value of few fields is
filled by its slots themselves. All else is attrs's, and so is the filling of a class that asks for
more than values in the order of its fields.
"""

from __future__ import annotations

from types import MemberDescriptorType
from typing import TYPE_CHECKING, Final, TypeVar, cast

import attrs

__all__ = ["frozen"]

if TYPE_CHECKING:
    # Type checkers know attrs's decorator by its name.
    from attrs import frozen
else:

    def frozen(cls: type | None = None, /, **options: object) -> object:
        """Make a class of frozen values, as `attrs.frozen` does."""
        if cls is None or options or "__init__" in vars(cls) or issubclass(cls, BaseException):
            return attrs.frozen(cls, **options)
        return _filled(attrs.frozen(cls))


_Class = TypeVar("_Class", bound=type[attrs.AttrsInstance])

_FACTORY: Final = cast("type", attrs.Factory)  # its stub says that it is a function
_KEPT: Final = ("__annotations__", "__defaults__", "__doc__", "__module__", "__qualname__")
_FEW: Final = 2
"""Up to so many fields, opening and closing a value takes longer than filling slot by slot."""
_set_class: Final = vars(object)["__class__"].__set__


def _filled(cls: _Class) -> _Class:
    fields = attrs.fields(cls)
    if hasattr(cls, "__attrs_pre_init__") or not all(_is_plain(cls, field) for field in fields):
        return cls
    names = {f"_fill_{field.name}": getattr(cls, field.name).__set__ for field in fields}
    filled = [(field.name, field.alias) for field in fields]
    for at, field in enumerate(fields):
        if not field.init:
            names[f"_make_{field.name}"] = field.default.factory
            filled[at] = field.name, f"_make_{field.name}(self)"
    lines = [f"_fill_{name}(self, {value})" for name, value in filled]
    if len(fields) > _FEW:
        names |= {"_set_class": _set_class, "_own": cls, "_open": _opened(cls)}
        lines = [
            # A class below this one has slots of its own.
            "if type(self) is not _own:",
            *[f" {line}" for line in lines],
            "else:",
            " _set_class(self, _open)",
            *[f" self.{name} = {value}" for name, value in filled],
            " self.__class__ = _own",
        ]
    if hasattr(cls, "__attrs_post_init__"):
        lines.append("self.__attrs_post_init__()")
    parameters = ", ".join(["self", *(field.alias for field in fields if field.init)])
    # As attrs makes its own, of the same names.
    exec(f"def __init__({parameters}):\n " + "\n ".join(lines or ["pass"]), names)  # noqa: S102
    init = names["__init__"]
    for name in _KEPT:
        setattr(init, name, getattr(cls.__init__, name))
    cls.__init__ = init  # type: ignore[method-assign]  # what this is for
    return cls


def _opened(cls: type) -> type:
    """The class again, of the same slots, but its values are written as any other object's."""
    written = {"__setattr__": object.__setattr__, "__delattr__": object.__delattr__}
    return type(cls)(cls.__name__, (cls,), {"__slots__": (), **written})


def _is_plain(cls: type, field: attrs.Attribute[object]) -> bool:
    """Whether a slot holds what stands in the field's place, or follows from those before it."""
    is_made = isinstance(field.default, _FACTORY)
    return (
        isinstance(getattr(cls, field.name, None), MemberDescriptorType)
        and field.init is not is_made
        and (field.init or getattr(field.default, "takes_self"))  # noqa: B009 - no stub knows it
        and not field.kw_only
        and field.converter is None  # pyright: ignore[reportUnknownMemberType] - of any types
        and field.validator is None
    )
