"""How a node of Ray starts, and the workers on it. Imports nothing: both are on the way of whatever starts."""
