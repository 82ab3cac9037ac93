"""What users upload: rules of scripts and of requirement files."""
