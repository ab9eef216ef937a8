"""The services, put together: one module for each, called by `daemon.main.wire`."""
