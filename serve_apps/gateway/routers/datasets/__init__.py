"""Routes of datasets."""
