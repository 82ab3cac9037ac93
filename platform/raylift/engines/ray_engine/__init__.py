"""Ray's cluster, Jobs API and Serve controller."""
