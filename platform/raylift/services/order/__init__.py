"""Order of jobs: which come after which."""
