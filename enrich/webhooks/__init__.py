"""The doors that TaskRouter knocks on: signature, payloads, views."""
