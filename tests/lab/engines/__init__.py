"""Engines that span machines, each on three hosts of a network on this machine.

    python -m tests.lab.engines.ENGINE

starts the engine, injects faults, judges what was seen, and ends everything. It needs Linux, root,
and Debian's packages, which it installs if they are missing.
"""
