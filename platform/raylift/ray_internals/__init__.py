"""Code that uses private names of Ray. docs/ray_internals.md lists them."""
