"""Stored values: codecs and content-addressed storage, local or behind any fsspec URL."""

from wfplatform.artifacts.artifact import Artifacts, Stored

__all__ = ["Artifacts", "Stored"]
