"""Logging, metrics and tracing, and the directory in which the processes of one server share their counts."""
