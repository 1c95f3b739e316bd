"""Everything that is kept in PostgreSQL, and the embedded server itself. Import from its modules: this file loads nothing."""
