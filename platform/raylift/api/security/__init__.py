"""Wire models of sign-ins and of reports of scanners."""
