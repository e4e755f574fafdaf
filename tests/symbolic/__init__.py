"""The arithmetic of limits and intervals, proven and searched; `python -m tests.symbolic.prove`."""
