"""Floor 6: who calls, who may, and the methods of the wire, each a few lines on top of a service."""
