"""Replay of logs of real traffic through the rules."""
