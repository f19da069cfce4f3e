"""Workspace set-up as code: the file, the plan, and its application over REST."""
