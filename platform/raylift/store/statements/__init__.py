"""SQL statements and guards that repositories share."""
