"""Job functions that leak, each in its own way, and functions that look like it and do not."""
