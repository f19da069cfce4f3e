"""The webhooks that TaskRouter and Event Streams call: intake, handlers, views, load shedding."""
