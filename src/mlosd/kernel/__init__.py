"""Floor 2: one module per kernel interface, named after it. Reads and writes; decides nothing."""
