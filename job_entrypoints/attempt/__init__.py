"""The attempt as the wrapper sees it: its record, output and progress, and the directory it works in."""
