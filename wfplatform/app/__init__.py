"""The use cases that REST, command line and notebooks call, over ports."""
