"""The rules that change the account: each public method is one transaction."""
