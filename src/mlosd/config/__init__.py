"""Settings: what may be set, where it came from. One module per service; pydantic lives here."""
