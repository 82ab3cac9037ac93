"""Routes that the console needs: its pages, the overview, attempts, signatures."""
