"""Further machines: the document by which they join, and their joining and leaving."""
