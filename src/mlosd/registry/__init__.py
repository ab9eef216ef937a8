"""Models: which versions there are, where their bytes are kept, what their aliases mean and meant."""
