"""The other side: tasks over REST with their ETag, the splice into their attributes, and the instructions we answer."""
