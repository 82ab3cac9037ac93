"""Values of a column, converted to a dtype."""
