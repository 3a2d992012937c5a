"""Injection, in interpreters of its own: what a process does after it is done once a process."""
