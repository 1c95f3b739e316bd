"""Workflows that ship with the platform: whole, real analyses to run, read and start one's own work from."""
