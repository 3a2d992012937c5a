"""The chart, rendered as a user would: every promise of values.yaml, checked on the objects that come out."""
