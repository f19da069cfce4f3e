"""Resilience against slow or dead dependencies: time-outs, admission, circuit breaker, DNS cache."""
