"""HTTP API shared by the gateway and the client: schemas, paths, header names."""
