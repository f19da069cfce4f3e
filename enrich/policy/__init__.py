"""The policy: its file, its expressions and its rules. Pure."""
