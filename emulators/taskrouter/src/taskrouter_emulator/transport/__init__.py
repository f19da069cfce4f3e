"""The HTTP server, and the faults that a response can suffer on its way out."""
