"""`mlosd-setup`: puts units, manual pages and completions where the operating system looks, and takes them away."""
