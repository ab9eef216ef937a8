"""What is in a file: digest, format, header. Read by a worker that may do nothing else."""
