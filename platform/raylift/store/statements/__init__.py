"""SQL statements and guards shared by repositories."""
