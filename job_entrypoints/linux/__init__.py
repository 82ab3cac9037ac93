"""Linux processes: /proc, signals, process trees."""
