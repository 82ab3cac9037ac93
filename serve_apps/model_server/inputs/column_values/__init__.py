"""Values of one column, as the training table had them."""
