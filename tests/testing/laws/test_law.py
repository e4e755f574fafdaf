"""Tests of the error of a broken law."""

from __future__ import annotations

import pickle

from curae_lifecycle.testing.laws import LAWS, LawBrokenError


def test_pickled_law_error_loads_with_equal_text_and_attributes() -> None:
    error = LawBrokenError(4, "EXPIRED became ACTIVE", "connection 1")
    loaded: object = pickle.loads(pickle.dumps(error))  # noqa: S301 - made here
    assert isinstance(loaded, LawBrokenError)
    for each in (error, loaded):
        assert (each.law, each.what, each.where) == (4, "EXPIRED became ACTIVE", "connection 1")
        assert each.args == (4, "EXPIRED became ACTIVE", "connection 1")
        assert each.law_text == LAWS[4]
        assert str(each) == (
            "law 4 is broken: EXPIRED became ACTIVE\n"
            "  where: connection 1\n"
            "  law: Standing is monotone in `now` for a fixed record."
        )
