"""Two ways to start a job, one interface: PID 1's transient units, or our own cgroup subtree."""
