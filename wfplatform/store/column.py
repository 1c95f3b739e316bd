"""Columns of tables, and the class of all rows."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, DateTime, func, text
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

__all__ = ["Row", "at", "now", "of"]


def now() -> Any:
    """When the row is made."""
    return Field(sa_column_kwargs={"server_default": func.now()}, sa_type=DateTime(timezone=True))


def at() -> Any:
    """An instant, or none."""
    return Field(default=None, sa_type=DateTime(timezone=True))


def of(kind: Any, *, key: bool = False, null: bool = True, default: str | None = None) -> Any:
    """A column of a kind; `default` in SQL."""
    server = None if default is None else text(default)
    return Field(
        default=None,
        sa_column=Column(kind, primary_key=key, nullable=null and not key, server_default=server),
    )


class Row(SQLModel, registry=registry()):
    """A row of any table. Its registry is its own: tables that a user defines with SQLModel never meet these."""
