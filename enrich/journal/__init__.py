"""The journal: receipts and conclusions of deliveries, follow-ups, task states, and queries for the pages."""
