"""Logging, metrics and tracing, and how the processes of one server count together."""
