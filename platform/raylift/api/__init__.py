"""The wire: Pydantic schemas shared by the gateway and the client. Nothing here imports the server."""
