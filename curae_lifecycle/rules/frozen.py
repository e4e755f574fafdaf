"""`frozen`: attrs's own, but its values are made in two thirds to five sixths of the time.

attrs fills a frozen value through `object.__setattr__`, which looks each slot up by its name;
here the slots fill themselves. All else is attrs's, and so is the filling of a class that asks
for more than values in the order of its fields.
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
        return _filled_by_slots(attrs.frozen(cls))


_Class = TypeVar("_Class", bound=type[attrs.AttrsInstance])

_FACTORY: Final = cast("type", attrs.Factory)  # its stub says that it is a function
_KEPT: Final = ("__annotations__", "__defaults__", "__doc__", "__module__", "__qualname__")


def _filled_by_slots(cls: _Class) -> _Class:
    fields = attrs.fields(cls)
    if hasattr(cls, "__attrs_pre_init__") or not all(_is_plain(cls, field) for field in fields):
        return cls
    lines = [f"_fill_{field.name}(self, {field.alias})" for field in fields]
    if hasattr(cls, "__attrs_post_init__"):
        lines.append("self.__attrs_post_init__()")
    parameters = ", ".join(["self", *(field.alias for field in fields)])
    names = {f"_fill_{field.name}": getattr(cls, field.name).__set__ for field in fields}
    # As attrs makes its own, of the same names.
    exec(f"def __init__({parameters}):\n " + "\n ".join(lines or ["pass"]), names)  # noqa: S102
    init = names["__init__"]
    for name in _KEPT:
        setattr(init, name, getattr(cls.__init__, name))
    cls.__init__ = init  # type: ignore[method-assign]  # what this is for
    return cls


def _is_plain(cls: type, field: attrs.Attribute[object]) -> bool:
    """Whether a slot holds what stands in the field's place, or a default that is a value."""
    return (
        isinstance(getattr(cls, field.name, None), MemberDescriptorType)
        and field.init
        and not field.kw_only
        and field.converter is None  # pyright: ignore[reportUnknownMemberType] - of any types
        and field.validator is None
        and not isinstance(field.default, _FACTORY)
    )
