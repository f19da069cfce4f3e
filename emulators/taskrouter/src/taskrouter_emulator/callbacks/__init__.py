"""Callbacks to the user's server: signed, sent under a deadline, retried as the URL's fragment says."""
