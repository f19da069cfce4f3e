"""TaskRouter's REST API on Flask: routes, forms, pages, and the JSON of each resource."""
