"""The schema's history, run by Alembic from `wfplatform.store.migration`. A published step is never changed."""
