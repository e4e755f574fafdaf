"""The extra `test`: collect tests that import what it installs, and run a file of the suite."""

import os
import subprocess
import sys

pytest = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-n", "0", "-q"]
for more in (
    ["--collect-only", "tests/support", "tests/web", "tests/servers"],
    ["tests/service/test_settings.py"],
):
    subprocess.run([*pytest, *more], cwd=os.environ["TREE"], check=True, stdout=subprocess.DEVNULL)
