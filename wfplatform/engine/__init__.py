"""Orchestration over ports: claims executions, plans, submits, records. Knows no database and no cluster by name."""
