"""Lineage: what the kernel saw of a run becomes rows; questions about them are answered."""
