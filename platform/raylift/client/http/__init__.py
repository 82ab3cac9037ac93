"""The SDK's connection to the gateway."""
