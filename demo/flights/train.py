"""Learn how late a flight arrives from what is known when it leaves. Writes models/flights.joblib."""

import argparse
import time
from pathlib import Path

import joblib
import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.metrics import mean_absolute_error

TARGET = "arr_delay"
CATEGORIES = ["carrier", "origin", "dest"]
TREES_AT_ONCE = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trees", type=int, default=200, help="how many trees to grow")
    trees = parser.parse_args().trees

    began = time.monotonic()
    table = pd.read_csv("data/flights.csv", dtype=dict.fromkeys(CATEGORIES, "category"))
    # Whole days are kept for the test: flights of one day share its weather, and its jams.
    kept = table.day % 5 == 0
    seen, unseen = table[~kept], table[kept]
    print(f"learning from {len(seen):,} flights, tested on {len(unseen):,} of other days", flush=True)

    inputs = table.columns.drop(TARGET)
    baseline = mean_absolute_error(unseen[TARGET], unseen["dep_delay"])
    print(f'baseline "arrives as late as it leaves": {baseline:.2f} minutes off', flush=True)

    model = HistGradientBoostingRegressor(
        loss="absolute_error",
        learning_rate=0.2,
        max_leaf_nodes=31,
        categorical_features="from_dtype",
        early_stopping=False,
        warm_start=True,
        random_state=2013,
    )
    for grown in range(TREES_AT_ONCE, trees + 1, TREES_AT_ONCE):
        model.set_params(max_iter=grown).fit(seen[inputs], seen[TARGET])
        error = mean_absolute_error(unseen[TARGET], model.predict(unseen[inputs]))
        print(f"{time.monotonic() - began:6.1f} s  {grown:4} trees  {error:.2f} minutes off", flush=True)

    Path("models").mkdir(exist_ok=True)
    joblib.dump(model, "models/flights.joblib", compress=3)
    better = 100 * (1 - error / baseline)
    print(f"models/flights.joblib: {error:.2f} minutes off, {better:.0f} % better than the baseline", flush=True)


if __name__ == "__main__":
    main()
