"""Connections after a fork.

The law of this module: **no two processes use one connection**. Both would write to its socket, and
each would read responses to the other. A forked process does not close its parent's connections
either, because that would end them at the server.

Server software forks its workers, so a program that creates its tables before it starts the server
has a connection at that time.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final, TypeVar, cast
from weakref import WeakKeyDictionary

_Owner = TypeVar("_Owner")

_FORGETTING: Final[WeakKeyDictionary[object, Callable[[object], object]]] = WeakKeyDictionary()
_INHERITED: Final[list[object]] = []


def forget_after_fork(owner: _Owner, forget: Callable[[_Owner], object]) -> None:
    """Call `forget(owner)` at the start of each process that is forked from this one.

    Args:
        owner: The owner of connections, such as a pool. It is referred to weakly.
        forget: Makes the owner forget its connections without closing them, and returns an object
            that refers to them. The forked process keeps that object, because garbage collection
            would close the connections.
    """
    # It gets this owner only.
    _FORGETTING[owner] = cast("Callable[[object], object]", forget)


def _forget_all() -> None:
    for owner, forget in [*_FORGETTING.items()]:
        _INHERITED.append(forget(owner))


if hasattr(os, "register_at_fork"):  # Windows has no fork.
    os.register_at_fork(after_in_child=_forget_all)
