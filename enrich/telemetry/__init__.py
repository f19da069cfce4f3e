"""Logging and its rate limit, metrics, tracing, and the directory in which the processes of one server share counts."""
