"""The attempt's record, output, progress and notes, as files."""
