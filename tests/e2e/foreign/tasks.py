"""What the shop's workers do."""

from shop import engine, kept


def forget():
    """Take a connection and never give it back."""
    kept.append(engine.connect())
