"""What keeps a slow or dead dependency from holding everything up: time-outs, admission, circuit breaker, DNS cache."""
