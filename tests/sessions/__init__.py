"""Tests of sessions without an application: Flask-SQLAlchemy and plain SQLAlchemy, SQLite and MariaDB."""
