"""Reports of drift: the program of their jobs. It stands on pandas and Evidently, in an environment of its own."""
