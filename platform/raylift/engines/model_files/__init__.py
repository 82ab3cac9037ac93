"""Files of model versions: their download and their digests."""
