CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
CREATE TABLE "experiments" (
	experiment_id INTEGER NOT NULL, 
	name VARCHAR(256) NOT NULL, 
	artifact_location VARCHAR(256), 
	lifecycle_stage VARCHAR(32), 
	creation_time BIGINT, 
	last_update_time BIGINT, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT experiment_pk PRIMARY KEY (experiment_id), 
	CONSTRAINT experiments_lifecycle_stage CHECK (lifecycle_stage IN ('active', 'deleted')), 
	CONSTRAINT uq_experiments_workspace_name UNIQUE (workspace, name)
);
CREATE TABLE "runs" (
	run_uuid VARCHAR(32) NOT NULL, 
	name VARCHAR(250), 
	source_type VARCHAR(20), 
	source_name VARCHAR(500), 
	entry_point_name VARCHAR(50), 
	user_id VARCHAR(256), 
	status VARCHAR(9), 
	start_time BIGINT, 
	end_time BIGINT, 
	source_version VARCHAR(50), 
	lifecycle_stage VARCHAR(20), 
	artifact_uri VARCHAR(200), 
	experiment_id INTEGER, deleted_time BIGINT, 
	CONSTRAINT run_pk PRIMARY KEY (run_uuid), 
	CONSTRAINT runs_lifecycle_stage CHECK (lifecycle_stage IN ('active', 'deleted')), 
	CONSTRAINT source_type CHECK (source_type IN ('NOTEBOOK', 'JOB', 'LOCAL', 'UNKNOWN', 'PROJECT')), 
	FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id), 
	CHECK (status IN ('SCHEDULED', 'FAILED', 'FINISHED', 'RUNNING', 'KILLED'))
);
CREATE TABLE "params" (
	"key" VARCHAR(250) NOT NULL, 
	value VARCHAR(8000) NOT NULL, 
	run_uuid VARCHAR(32) NOT NULL, 
	CONSTRAINT param_pk PRIMARY KEY ("key", run_uuid), 
	FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid)
);
CREATE TABLE "tags" (
	"key" VARCHAR(250) NOT NULL, 
	value VARCHAR(8000), 
	run_uuid VARCHAR(32) NOT NULL, 
	CONSTRAINT tag_pk PRIMARY KEY ("key", run_uuid), 
	FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid)
);
CREATE TABLE "metrics" (
	"key" VARCHAR(250) NOT NULL, 
	value FLOAT NOT NULL, 
	timestamp BIGINT NOT NULL, 
	run_uuid VARCHAR(32) NOT NULL, 
	step BIGINT DEFAULT '0' NOT NULL, 
	is_nan BOOLEAN DEFAULT '0' NOT NULL, 
	CONSTRAINT metric_pk PRIMARY KEY ("key", timestamp, step, run_uuid, value, is_nan), 
	FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid), 
	CHECK (is_nan IN (0, 1))
);
CREATE TABLE "latest_metrics" (
	"key" VARCHAR(250) NOT NULL, 
	value FLOAT NOT NULL, 
	timestamp BIGINT, 
	step BIGINT NOT NULL, 
	is_nan BOOLEAN NOT NULL, 
	run_uuid VARCHAR(32) NOT NULL, 
	CONSTRAINT latest_metric_pk PRIMARY KEY ("key", run_uuid), 
	FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid), 
	CHECK (is_nan IN (0, 1))
);
CREATE TABLE inputs (
	input_uuid VARCHAR(36) NOT NULL, 
	source_type VARCHAR(36) NOT NULL, 
	source_id VARCHAR(36) NOT NULL, 
	destination_type VARCHAR(36) NOT NULL, 
	destination_id VARCHAR(36) NOT NULL, step BIGINT DEFAULT '0' NOT NULL, 
	CONSTRAINT inputs_pk PRIMARY KEY (source_type, source_id, destination_type, destination_id)
);
CREATE TABLE input_tags (
	input_uuid VARCHAR(36) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	value VARCHAR(500) NOT NULL, 
	CONSTRAINT input_tags_pk PRIMARY KEY (input_uuid, name)
);
CREATE TABLE "datasets" (
	dataset_uuid VARCHAR(36) NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	name VARCHAR(500) NOT NULL, 
	digest VARCHAR(36) NOT NULL, 
	dataset_source_type VARCHAR(36) NOT NULL, 
	dataset_source TEXT NOT NULL, 
	dataset_schema TEXT, 
	dataset_profile TEXT, 
	CONSTRAINT dataset_pk PRIMARY KEY (experiment_id, name, digest), 
	CONSTRAINT fk_datasets_experiment_id_experiments FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id) ON DELETE CASCADE
);
CREATE TABLE logged_models (
	model_id VARCHAR(36) NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	name VARCHAR(500) NOT NULL, 
	artifact_location VARCHAR(1000) NOT NULL, 
	creation_timestamp_ms BIGINT NOT NULL, 
	last_updated_timestamp_ms BIGINT NOT NULL, 
	status INTEGER NOT NULL, 
	lifecycle_stage VARCHAR(32), 
	model_type VARCHAR(500), 
	source_run_id VARCHAR(32), 
	status_message VARCHAR(1000), 
	CONSTRAINT logged_models_pk PRIMARY KEY (model_id), 
	CONSTRAINT logged_models_lifecycle_stage_check CHECK (lifecycle_stage IN ('active', 'deleted')), 
	CONSTRAINT fk_logged_models_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id) ON DELETE CASCADE
);
CREATE TABLE logged_model_params (
	model_id VARCHAR(36) NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	param_key VARCHAR(255) NOT NULL, 
	param_value TEXT NOT NULL, 
	CONSTRAINT logged_model_params_pk PRIMARY KEY (model_id, param_key), 
	CONSTRAINT fk_logged_model_params_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id), 
	CONSTRAINT fk_logged_model_params_model_id FOREIGN KEY(model_id) REFERENCES logged_models (model_id) ON DELETE CASCADE
);
CREATE TABLE logged_model_tags (
	model_id VARCHAR(36) NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	tag_key VARCHAR(255) NOT NULL, 
	tag_value TEXT NOT NULL, 
	CONSTRAINT logged_model_tags_pk PRIMARY KEY (model_id, tag_key), 
	CONSTRAINT fk_logged_model_tags_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id), 
	CONSTRAINT fk_logged_model_tags_model_id FOREIGN KEY(model_id) REFERENCES logged_models (model_id) ON DELETE CASCADE
);
CREATE TABLE logged_model_metrics (
	model_id VARCHAR(36) NOT NULL, 
	metric_name VARCHAR(500) NOT NULL, 
	metric_timestamp_ms BIGINT NOT NULL, 
	metric_step BIGINT NOT NULL, 
	metric_value FLOAT, 
	experiment_id INTEGER NOT NULL, 
	run_id VARCHAR(32) NOT NULL, 
	dataset_uuid VARCHAR(36), 
	dataset_name VARCHAR(500), 
	dataset_digest VARCHAR(36), 
	CONSTRAINT logged_model_metrics_pk PRIMARY KEY (model_id, metric_name, metric_timestamp_ms, metric_step, run_id), 
	CONSTRAINT fk_logged_model_metrics_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id), 
	CONSTRAINT fk_logged_model_metrics_model_id FOREIGN KEY(model_id) REFERENCES logged_models (model_id) ON DELETE CASCADE, 
	CONSTRAINT fk_logged_model_metrics_run_id FOREIGN KEY(run_id) REFERENCES runs (run_uuid) ON DELETE CASCADE
);
CREATE TABLE "registered_models" (
	name VARCHAR(256) NOT NULL, 
	creation_time BIGINT, 
	last_updated_time BIGINT, 
	description VARCHAR(5000), 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT registered_model_pk PRIMARY KEY (workspace, name)
);
CREATE TABLE "model_versions" (
	name VARCHAR(256) NOT NULL, 
	version INTEGER NOT NULL, 
	creation_time BIGINT, 
	last_updated_time BIGINT, 
	description VARCHAR(5000), 
	user_id VARCHAR(256), 
	current_stage VARCHAR(20), 
	source VARCHAR(500), 
	run_id VARCHAR(32), 
	status VARCHAR(20), 
	status_message VARCHAR(500), 
	run_link VARCHAR(500), 
	storage_location VARCHAR(500), 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT model_version_pk PRIMARY KEY (workspace, name, version), 
	CONSTRAINT fk_model_versions_registered_models FOREIGN KEY(workspace, name) REFERENCES registered_models (workspace, name) ON UPDATE CASCADE
);
CREATE TABLE "model_version_tags" (
	"key" VARCHAR(250) NOT NULL, 
	value TEXT, 
	name VARCHAR(256) NOT NULL, 
	version INTEGER NOT NULL, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT model_version_tag_pk PRIMARY KEY (workspace, "key", name, version), 
	CONSTRAINT fk_model_version_tags_model_versions FOREIGN KEY(workspace, name, version) REFERENCES model_versions (workspace, name, version) ON UPDATE CASCADE
);
CREATE TABLE "registered_model_tags" (
	"key" VARCHAR(250) NOT NULL, 
	value VARCHAR(5000), 
	name VARCHAR(256) NOT NULL, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT registered_model_tag_pk PRIMARY KEY (workspace, "key", name), 
	CONSTRAINT fk_registered_model_tags_registered_models FOREIGN KEY(workspace, name) REFERENCES registered_models (workspace, name) ON UPDATE CASCADE
);
CREATE TABLE "registered_model_aliases" (
	alias VARCHAR(256) NOT NULL, 
	version INTEGER NOT NULL, 
	name VARCHAR(256) NOT NULL, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT registered_model_alias_pk PRIMARY KEY (workspace, name, alias), 
	CONSTRAINT fk_registered_model_aliases_registered_models FOREIGN KEY(workspace, name) REFERENCES registered_models (workspace, name) ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE TABLE "experiment_tags" (
	"key" VARCHAR(250) NOT NULL, 
	value TEXT, 
	experiment_id INTEGER NOT NULL, 
	CONSTRAINT experiment_tag_pk PRIMARY KEY ("key", experiment_id), 
	FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id)
);
INSERT INTO "alembic_version" VALUES('dc11669786a5');
INSERT INTO "datasets" VALUES('da6498be9fd44714929060ccd05e7788',1,'flights','55b2884a','local','{"uri": "/srv/data/flights.csv"}',NULL,'{"num_rows": 2, "num_elements": 4}');
INSERT INTO "experiments" VALUES(0,'Default','/srv/mlflow/mlruns/0','active',1795218397780,1795218397780,'default');
INSERT INTO "experiments" VALUES(1,'flights','file:///srv/mlflow/flights','active',1795218397782,1795218397782,'default');
INSERT INTO "input_tags" VALUES('960537b411fc4344b6764ad7623bfe0c','split','train');
INSERT INTO "input_tags" VALUES('960537b411fc4344b6764ad7623bfe0c','mlflow.data.context','training');
INSERT INTO "input_tags" VALUES('5d5201fcab624ae68e4055a5c82deaa9','mlflow.data.context','training');
INSERT INTO "inputs" VALUES('960537b411fc4344b6764ad7623bfe0c','DATASET','da6498be9fd44714929060ccd05e7788','RUN','cd03395259734960a46f3f3494bfc33c',0);
INSERT INTO "inputs" VALUES('5d5201fcab624ae68e4055a5c82deaa9','DATASET','da6498be9fd44714929060ccd05e7788','RUN','ccd5e1ea58f24154aad982962d559c9b',0);
INSERT INTO "inputs" VALUES('13b3a372e1374462885c265319095f22','RUN_OUTPUT','cd03395259734960a46f3f3494bfc33c','MODEL_OUTPUT','m-009ac6685da34480b779f6f92c7cded5',2);
INSERT INTO "latest_metrics" VALUES('rmse',1.0,1795218397872,2,0,'cd03395259734960a46f3f3494bfc33c');
INSERT INTO "latest_metrics" VALUES('loss/val',0.0,1795218397875,0,1,'cd03395259734960a46f3f3494bfc33c');
INSERT INTO "logged_model_params" VALUES('m-009ac6685da34480b779f6f92c7cded5',1,'depth','3');
INSERT INTO "logged_model_tags" VALUES('m-009ac6685da34480b779f6f92c7cded5',1,'k','v');
INSERT INTO "logged_models" VALUES('m-009ac6685da34480b779f6f92c7cded5',1,'delays-net','file:///srv/mlflow/flights/models/m-009ac6685da34480b779f6f92c7cded5/artifacts',1795218398004,1795218398013,2,'active','net','cd03395259734960a46f3f3494bfc33c',NULL);
INSERT INTO "metrics" VALUES('rmse',3.0,1795218397862,'cd03395259734960a46f3f3494bfc33c',0,0);
INSERT INTO "metrics" VALUES('rmse',2.0,1795218397867,'cd03395259734960a46f3f3494bfc33c',1,0);
INSERT INTO "metrics" VALUES('rmse',1.0,1795218397872,'cd03395259734960a46f3f3494bfc33c',2,0);
INSERT INTO "metrics" VALUES('loss/val',0.0,1795218397875,'cd03395259734960a46f3f3494bfc33c',0,1);
INSERT INTO "model_version_tags" VALUES('checked','yes','delays',1,'default');
INSERT INTO "model_version_tags" VALUES('checked','yes','delays',2,'default');
INSERT INTO "model_versions" VALUES('delays',1,1795218397960,1795218397960,NULL,NULL,'None','file:///srv/mlflow/flights/cd03395259734960a46f3f3494bfc33c/artifacts/model','cd03395259734960a46f3f3494bfc33c','READY',NULL,NULL,'file:///srv/mlflow/flights/cd03395259734960a46f3f3494bfc33c/artifacts/model','default');
INSERT INTO "model_versions" VALUES('delays',2,1795218397980,1795218397998,NULL,NULL,'Production','file:///srv/mlflow/elsewhere',NULL,'READY',NULL,NULL,'file:///srv/mlflow/elsewhere','default');
INSERT INTO "params" VALUES('alpha','0.5','cd03395259734960a46f3f3494bfc33c');
INSERT INTO "params" VALUES('layers/hidden','64
32','cd03395259734960a46f3f3494bfc33c');
INSERT INTO "params" VALUES('alpha','0.7','4bc149862c8e44dfbcaa55bcc6a86de0');
INSERT INTO "registered_model_aliases" VALUES('champion',1,'delays','default');
INSERT INTO "registered_models" VALUES('delays',1795218397954,1795218397998,'How late','default');
INSERT INTO "runs" VALUES('cd03395259734960a46f3f3494bfc33c','first','UNKNOWN','','','root','FINISHED',1795218397844,1795218397890,'','active','file:///srv/mlflow/flights/cd03395259734960a46f3f3494bfc33c/artifacts',1,NULL);
INSERT INTO "runs" VALUES('ccd5e1ea58f24154aad982962d559c9b','second','UNKNOWN','','','root','FINISHED',1795218397895,1795218397917,'','active','file:///srv/mlflow/flights/ccd5e1ea58f24154aad982962d559c9b/artifacts',1,NULL);
INSERT INTO "runs" VALUES('4bc149862c8e44dfbcaa55bcc6a86de0','child','UNKNOWN','','','root','FINISHED',1795218397906,1795218397914,'','active','file:///srv/mlflow/flights/4bc149862c8e44dfbcaa55bcc6a86de0/artifacts',1,NULL);
INSERT INTO "runs" VALUES('e6187ed1e680490997eda16327faec07','broken','UNKNOWN','','','unknown','FAILED',1795218397920,1795218397925,'','active','file:///srv/mlflow/flights/e6187ed1e680490997eda16327faec07/artifacts',1,NULL);
INSERT INTO "runs" VALUES('57f4b732804843d4b52d655a804c13ef','still running','UNKNOWN','','','unknown','RUNNING',1795218397927,NULL,'','active','file:///srv/mlflow/flights/57f4b732804843d4b52d655a804c13ef/artifacts',1,NULL);
INSERT INTO "runs" VALUES('d20b2401549947e582b0d227b30cfd86','thrown away','UNKNOWN','','','unknown','RUNNING',1795218397932,NULL,'','deleted','file:///srv/mlflow/flights/d20b2401549947e582b0d227b30cfd86/artifacts',1,1795218397938);
INSERT INTO "runs" VALUES('9a3394cc0f8147aaa6c1317d9ab8b09d','spiffy-eel-267','UNKNOWN','','','unknown','RUNNING',1795218397939,NULL,'','active','/srv/mlflow/mlruns/0/9a3394cc0f8147aaa6c1317d9ab8b09d/artifacts',0,NULL);
INSERT INTO "tags" VALUES('mlflow.user','root','cd03395259734960a46f3f3494bfc33c');
INSERT INTO "tags" VALUES('mlflow.source.name','train.py','cd03395259734960a46f3f3494bfc33c');
INSERT INTO "tags" VALUES('mlflow.source.type','LOCAL','cd03395259734960a46f3f3494bfc33c');
INSERT INTO "tags" VALUES('mlflow.runName','first','cd03395259734960a46f3f3494bfc33c');
INSERT INTO "tags" VALUES('team','café','cd03395259734960a46f3f3494bfc33c');
INSERT INTO "tags" VALUES('mlflow.user','root','ccd5e1ea58f24154aad982962d559c9b');
INSERT INTO "tags" VALUES('mlflow.source.name','../mlflow_store.py','ccd5e1ea58f24154aad982962d559c9b');
INSERT INTO "tags" VALUES('mlflow.source.type','LOCAL','ccd5e1ea58f24154aad982962d559c9b');
INSERT INTO "tags" VALUES('mlflow.runName','second','ccd5e1ea58f24154aad982962d559c9b');
INSERT INTO "tags" VALUES('mlflow.user','root','4bc149862c8e44dfbcaa55bcc6a86de0');
INSERT INTO "tags" VALUES('mlflow.source.name','../mlflow_store.py','4bc149862c8e44dfbcaa55bcc6a86de0');
INSERT INTO "tags" VALUES('mlflow.source.type','LOCAL','4bc149862c8e44dfbcaa55bcc6a86de0');
INSERT INTO "tags" VALUES('mlflow.parentRunId','ccd5e1ea58f24154aad982962d559c9b','4bc149862c8e44dfbcaa55bcc6a86de0');
INSERT INTO "tags" VALUES('mlflow.runName','child','4bc149862c8e44dfbcaa55bcc6a86de0');
INSERT INTO "tags" VALUES('mlflow.runName','broken','e6187ed1e680490997eda16327faec07');
INSERT INTO "tags" VALUES('mlflow.runName','still running','57f4b732804843d4b52d655a804c13ef');
INSERT INTO "tags" VALUES('mlflow.runName','thrown away','d20b2401549947e582b0d227b30cfd86');
INSERT INTO "tags" VALUES('mlflow.runName','spiffy-eel-267','9a3394cc0f8147aaa6c1317d9ab8b09d');
