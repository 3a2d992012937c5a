"""The reference application: an order service on Flask, SQLAlchemy and RQ."""
