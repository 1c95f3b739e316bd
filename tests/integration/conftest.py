"""Databases for the tests of this folder."""

from __future__ import annotations

from tests.database import dsn, empty_dsn, new_database, postgres, template

__all__ = ["dsn", "empty_dsn", "new_database", "postgres", "template"]
