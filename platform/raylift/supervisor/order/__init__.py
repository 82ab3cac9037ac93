"""Jobs that come after others: their start, and their end where another one failed."""
