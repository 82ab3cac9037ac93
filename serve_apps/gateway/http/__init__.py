"""HTTP shared by all routers: bodies, errors, middleware, responses."""
