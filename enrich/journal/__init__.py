"""What happened: receipts and conclusions, what is still owed, and what the pages ask about it."""
