-- Lineage: which versions each run read, wrote and executed; models, their aliases, and what was production when.

-- Edges name versions by number: ten million of them fit where the ids would not. Given by the program of schema 3;
-- versions of an older program get theirs when this one opens the database.
ALTER TABLE version ADD COLUMN number INTEGER;
ALTER TABLE version ADD COLUMN format TEXT;      -- what its content is: safetensors, parquet, python, ...
ALTER TABLE version ADD COLUMN header TEXT;      -- JSON: what the header says (tensors, columns, opset, warnings)
ALTER TABLE version ADD COLUMN manifest BLOB;    -- a directory's: digest of the root of its Merkle manifest
CREATE UNIQUE INDEX version_number ON version (number);
CREATE INDEX version_made_by ON version (made_by) WHERE made_by IS NOT NULL;
UPDATE version SET number = rowid;

-- Who said what a resource is for: the globs of mlos.toml, the content of the file, or the user, for good.
ALTER TABLE resource ADD COLUMN role_by TEXT NOT NULL DEFAULT 'declared';
CREATE INDEX resource_path ON resource (project, path);

-- What an object contained when it had this size and these times: nothing is hashed twice.
CREATE TABLE sighting (
  object    INTEGER NOT NULL REFERENCES object (id),
  size      INTEGER NOT NULL,
  mtime_ns  INTEGER NOT NULL,
  ctime_ns  INTEGER NOT NULL,
  digest    BLOB NOT NULL,               -- SHA-256
  format    TEXT,
  header    TEXT,
  PRIMARY KEY (object, size, mtime_ns, ctime_ns)
) STRICT, WITHOUT ROWID;

-- A run used a version. Modes: 1 read, 2 write, 4 exec.
CREATE TABLE edge (
  run           INTEGER NOT NULL,
  version       INTEGER NOT NULL,        -- version.number
  modes         INTEGER NOT NULL,
  first_use_ns  INTEGER NOT NULL,        -- since the run began
  PRIMARY KEY (run, version)
) STRICT, WITHOUT ROWID;
CREATE INDEX edge_version ON edge (version, modes);

-- How much of a run is known.
CREATE TABLE lineage (
  run          INTEGER PRIMARY KEY,
  state        TEXT NOT NULL,            -- complete, partial, none
  reasons      TEXT NOT NULL,            -- JSON list: why it is not complete
  facts        TEXT NOT NULL,            -- JSON: git, python, packages, kernel, CPU, GPUs
  recorded_at  REAL NOT NULL
) STRICT;

CREATE TABLE process (
  run         INTEGER NOT NULL,
  pid         INTEGER NOT NULL,
  started_ns  INTEGER NOT NULL,          -- since the run began
  parent      INTEGER,
  executable  BLOB,
  status      INTEGER,                   -- as wait(2) gives it; null: not known
  PRIMARY KEY (run, pid, started_ns)
) STRICT, WITHOUT ROWID;

-- Merkle manifests of directories, content-addressed: equal subtrees are stored once.
CREATE TABLE manifest_node (
  digest   BLOB PRIMARY KEY,             -- SHA-256 of content
  content  BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE model (
  id        TEXT PRIMARY KEY,            -- UUIDv7
  project   TEXT NOT NULL REFERENCES project (id),
  name      TEXT NOT NULL,
  resource  TEXT REFERENCES resource (id),  -- the file that it lives in; null: no one file
  added_at  REAL NOT NULL
) STRICT;
CREATE UNIQUE INDEX model_name ON model (project, name);

CREATE TABLE model_version (
  model     TEXT NOT NULL REFERENCES model (id),
  number    INTEGER NOT NULL,            -- 1, 2, 3 ... for people
  version   INTEGER NOT NULL,            -- version.number
  digest    BLOB NOT NULL,
  captured  TEXT NOT NULL,               -- stored, or why not: "not captured (no space)"
  stored    INTEGER NOT NULL DEFAULT 0,  -- bytes in the store; 0: nothing there
  added_at  REAL NOT NULL,
  pruned_at REAL,
  PRIMARY KEY (model, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX model_version_of ON model_version (version);
CREATE INDEX model_version_digest ON model_version (digest);

-- Append-only. What an alias meant at a time is its last row before it; number null: the alias was taken away.
CREATE TABLE alias_log (
  id      INTEGER PRIMARY KEY,
  model   TEXT NOT NULL REFERENCES model (id),
  alias   TEXT NOT NULL,
  number  INTEGER,
  actor   INTEGER NOT NULL,              -- uid
  reason  TEXT NOT NULL,
  at      REAL NOT NULL
) STRICT;
CREATE INDEX alias_log_alias ON alias_log (model, alias, id);

-- What warming a project was worth: seconds to the first batch, cold and warm.
CREATE TABLE warming (
  id       INTEGER PRIMARY KEY,
  project  TEXT NOT NULL REFERENCES project (id),
  at       REAL NOT NULL,
  kind     TEXT NOT NULL,                -- cold, warm
  bytes    INTEGER NOT NULL,
  seconds  REAL NOT NULL
) STRICT;
CREATE INDEX warming_project ON warming (project, id);
