"""Projects: a root directory and the resources below it."""
