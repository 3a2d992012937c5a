"""Tests of `ullage worker`, as a process of its own on a real Redis."""
