"""Code that leans on private names of Ray. docs/ray_internals.md lists them."""
