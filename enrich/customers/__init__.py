"""Customers: their records, how a task's attributes identify one, and the block about them."""
