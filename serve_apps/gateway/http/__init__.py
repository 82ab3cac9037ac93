"""HTTP code of all routers: bodies, errors, middleware, responses."""
