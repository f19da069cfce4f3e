"""Closed lists and the small frozen records that travel between packages. Standard library only."""
