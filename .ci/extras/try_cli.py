"""The extra `cli`: the tour in colour on a terminal."""

import os
import pty
import sys

controller, terminal = pty.openpty()
child = os.fork()
if child == 0:
    os.dup2(terminal, 1)
    os.environ |= {"TERM": "xterm", "COLUMNS": "80"}
    os.execv(sys.executable, [sys.executable, "-m", "curae_lifecycle", "tour"])
os.close(terminal)
shown = b""
try:
    while chunk := os.read(controller, 65536):
        shown += chunk
except OSError:
    # Linux reports the end of a terminal so.
    pass
assert os.waitpid(child, 0)[1] == 0
assert b"\x1b[1;33m" in shown, shown[:400]
