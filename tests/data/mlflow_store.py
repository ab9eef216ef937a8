"""Make a small MLflow store with the real MLflow: python mlflow_store.py URI ARTIFACTS."""

import sys

import mlflow
import pandas
from mlflow import MlflowClient

uri, artifacts = sys.argv[1:]
mlflow.set_tracking_uri(uri)
mlflow.set_registry_uri(uri)
client = MlflowClient()
flights = client.create_experiment("flights", artifact_location=f"{artifacts}/flights")
table = pandas.DataFrame({"delay": [1.0, 2.0], "carrier": ["AA", "UA"]})
dataset = mlflow.data.from_pandas(table, source="/srv/data/flights.csv", name="flights", targets="delay")

with mlflow.start_run(experiment_id=flights, run_name="first") as run:
    mlflow.log_params({"alpha": 0.5, "layers/hidden": "64\n32"})
    for step in range(3):
        mlflow.log_metric("rmse", 3.0 - step, step=step)
    mlflow.log_metric("loss/val", float("nan"))
    mlflow.set_tags({"team": "caf\u00e9", "mlflow.source.name": "train.py"})
    mlflow.log_input(dataset, context="training", tags={"split": "train"})
    first = run.info.run_id
with mlflow.start_run(experiment_id=flights, run_name="second"):
    mlflow.log_input(dataset, context="training")
    with mlflow.start_run(experiment_id=flights, run_name="child", nested=True):
        mlflow.log_param("alpha", 0.7)
failed = client.create_run(flights, run_name="broken")
client.set_terminated(failed.info.run_id, "FAILED")
client.create_run(flights, run_name="still running")
deleted = client.create_run(flights, run_name="thrown away")
client.delete_run(deleted.info.run_id)
client.create_run("0", run_name="")

client.create_registered_model("delays", description="How late")
for number, source in enumerate((f"{artifacts}/flights/{first}/artifacts/model", f"{artifacts}/elsewhere"), 1):
    version = client.create_model_version("delays", source, run_id=first if number == 1 else None)
    client.set_model_version_tag("delays", version.version, "checked", "yes")
client.set_registered_model_alias("delays", "champion", "1")
if hasattr(client, "transition_model_version_stage"):
    client.transition_model_version_stage("delays", "2", "Production")
if hasattr(client, "create_logged_model"):
    model = client.create_logged_model(
        flights, name="delays-net", source_run_id=first, params={"depth": "3"}, model_type="net", tags={"k": "v"}
    )
    client.finalize_logged_model(model.model_id, "READY")
    from mlflow.entities import LoggedModelOutput

    client.log_outputs(first, [LoggedModelOutput(model.model_id, step=2)])
