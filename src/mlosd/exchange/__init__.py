"""In and out: MLflow and DVC come in, everything goes out, and an Arrow snapshot of the table is kept."""
