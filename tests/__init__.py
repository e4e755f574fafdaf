"""The tests."""

import os

# trio, which is installed with selenium, has a plugin of Hypothesis that imports all of trio.
os.environ.setdefault("HYPOTHESIS_NO_PLUGINS", "1")
