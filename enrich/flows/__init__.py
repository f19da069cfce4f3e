"""The stories: what happens to a callback, an event or a follow-up, from beginning to end.

Flows put rules and adapters together. They get their adapters as arguments and do no I/O of their own.
"""
