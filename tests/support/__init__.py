"""Builders, stand-ins and fixtures that tests share; no test imports from another test, or from a conftest."""
