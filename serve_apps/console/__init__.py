"""The web console: its sources in ``web``, its built files in ``static``, and what serves them."""
