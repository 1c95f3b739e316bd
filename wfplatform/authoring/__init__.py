"""How a workflow is written: decorators, tracing, parameters, documents, and running it in this process.

Refuses to export: what users need stands in `wfplatform` itself.
"""
