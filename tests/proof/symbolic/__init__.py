"""The arithmetic of limits and intervals, proven and searched; `python -m tests.proof.symbolic.prove`."""
