"""Rules of uploaded sources: requirement files and notes on scripts."""
