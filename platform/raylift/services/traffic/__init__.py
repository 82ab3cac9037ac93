"""Traffic tables, routing by name, and scale-up requests."""
