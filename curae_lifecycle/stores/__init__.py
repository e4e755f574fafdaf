"""Stores: their contract, the loop that serves requests over it, and ready-made stores."""
