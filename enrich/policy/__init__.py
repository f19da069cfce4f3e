"""What to do: the policy file, its expressions and its rules. Pure."""
