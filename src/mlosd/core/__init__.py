"""Floor 0: names, errors and events that every other floor shares. Standard library only."""
