"""TOML files that people write: the lines of their tables and keys, declared shapes, and all mistakes at once."""
