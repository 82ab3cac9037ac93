"""Health, free capacity and counts of the platform."""
