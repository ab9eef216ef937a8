"""One module per mechanism. Each has `PROBE`, `PROBES`, or `probes(host)` where the machine says how many there are."""
