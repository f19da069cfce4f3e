"""The webhooks that TaskRouter calls: intake, handlers, views, load shedding."""
