"""Code that uses private names of Ray. docs/internals/ray_internals.md lists them."""
