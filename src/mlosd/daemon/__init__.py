"""The daemon: everything is wired here, and nothing is decided."""
