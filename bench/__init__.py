"""One question per script, a peer beside us in the same run, JSON lines out."""
