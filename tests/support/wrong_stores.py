"""Stores with one planted mistake each, for `python -m curae_lifecycle check`."""

from __future__ import annotations

import attrs

from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.settings import DEFAULT_SETTINGS, Settings
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.service.writes import (
    BindingWrite,
    ConnectionWrite,
    PageWrite,
    RecordWrite,
    Write,
)
from curae_lifecycle.stores.contract import Loaded
from curae_lifecycle.stores.memory import MemoryStore
from tests.support.instants import commit_writes
from tests.support.memory import compares_all_but


class ComparesNothing(MemoryStore):
    """A store without compare and set: the last write wins."""

    def __init__(self, settings: Settings = DEFAULT_SETTINGS) -> None:
        super().__init__(settings)
        compares_all_but(self, *self._by_kind)


class Lazy(MemoryStore):
    """A store that skips writes that only bump a version."""

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        writes = tuple([each for each in changes.writes if not only_counts(each)])
        return super().commit(loaded, attrs.evolve(changes, writes=writes), page)


def only_counts(write: Write) -> bool:
    """Return whether a write only bumps a version, since its decision relied on the value."""
    if not isinstance(write, ConnectionWrite | BindingWrite | PageWrite) or write.before is None:
        return False
    return attrs.evolve(write.after, version=write.before.version) == write.before


class Stepping(MemoryStore):
    """A store that commits each write separately."""

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        every = [super(Stepping, self)._store((write,)) for write in changes.writes]
        return all(every) and super().commit(loaded, attrs.evolve(changes, writes=()), page)


class Forgetful(MemoryStore):
    """A store without idempotency records."""

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        writes = tuple([each for each in changes.writes if not isinstance(each, RecordWrite)])
        return super().commit(loaded, attrs.evolve(changes, writes=writes), page)


class LooksForNoPage(MemoryStore):
    """A store that finds every hosted page that a fact names: it never looks for a replacement."""

    def __init__(self, settings: Settings = DEFAULT_SETTINGS) -> None:
        super().__init__(settings)
        self._all_pages: dict[str, HostedPage] = {}

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        loaded = super().load(needs, key_digest)
        page = None if needs.page is None else self._all_pages.get(needs.page)
        return attrs.evolve(loaded, snapshot=attrs.evolve(loaded.snapshot, page=page))

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        if page is not None:
            self._all_pages[page.digest] = page
        return super().commit(loaded, without_pages(changes), page)


class LoadsNoPage(MemoryStore):
    """A store that does not know `Needs.page`."""

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        return super().load(attrs.evolve(needs, page=None), key_digest)


class LoadsNoEra(MemoryStore):
    """A store that loads a connection without the binding that holds its coordinate's era."""

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        loaded = super().load(needs, key_digest)
        if needs.binding is None and (needs.connection or needs.chain):
            return attrs.evolve(loaded, snapshot=attrs.evolve(loaded.snapshot, binding=None))
        return loaded


class KeepsPage(MemoryStore):
    """A store that registers the hosted page of a commit that it refuses."""

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        taken = super().commit(loaded, changes, page)
        if not taken and page is not None:
            self._pages.add(page)
        return taken


class MovesNoPage(MemoryStore):
    """A store that skips the writes of hosted pages."""

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        return super().commit(loaded, without_pages(changes), page)


def without_pages(changes: Changes) -> Changes:
    """Return the changes without the writes of hosted pages."""
    writes = tuple([each for each in changes.writes if not isinstance(each, PageWrite)])
    return attrs.evolve(changes, writes=writes)


class AnswersAnyway(MemoryStore):
    """A store that reports conflicting commits as successful."""

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        taken = super().commit(loaded, changes, page)
        if not taken:
            commit_writes(
                self, tuple([each for each in changes.writes if isinstance(each, RecordWrite)])
            )
        return taken
