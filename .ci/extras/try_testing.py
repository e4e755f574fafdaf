"""The extra `testing`: draw values of the package with Hypothesis."""

from hypothesis import given, settings
from hypothesis import strategies as st

from curae_lifecycle import Request, Settings
from curae_lifecycle.testing import strategies

strategies.register()


@settings(max_examples=20, database=None)
@given(st.from_type(Request), st.from_type(Settings))
def draw(request: Request, chosen: Settings) -> None:
    """Check that the drawn values are what they should be."""
    assert isinstance(request, Request)
    assert isinstance(chosen, Settings)


draw()
