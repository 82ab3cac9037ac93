"""Files of batches on the platform's machine."""
