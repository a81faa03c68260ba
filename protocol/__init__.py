"""The language: what client, hub and spoke say to each other. Pure, but for `protocol.aio`."""
