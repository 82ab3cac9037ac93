"""Sign-ins, and reports of scanners."""
