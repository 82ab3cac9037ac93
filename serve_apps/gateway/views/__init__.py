"""Wire models made from domain objects."""
