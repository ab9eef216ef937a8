"""Jobs: what was asked, what may start next, and who starts it."""
