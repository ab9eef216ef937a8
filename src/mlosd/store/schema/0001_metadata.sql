-- The metadata table: which files a project is made of, and what they were at any time.
-- A resource keeps its id while the file behind it is replaced; see docs/architecture.md.

CREATE TABLE schema_info (
  version       INTEGER PRIMARY KEY,
  usable_since  INTEGER NOT NULL,        -- oldest program schema that may use a database of this version
  applied_at    REAL NOT NULL
) STRICT;

CREATE TABLE project (
  id           TEXT PRIMARY KEY,         -- UUIDv7
  name         TEXT NOT NULL,
  root         TEXT NOT NULL,            -- as the user gave it, resolved; for people
  owner        INTEGER NOT NULL,         -- uid
  environment  TEXT NOT NULL,
  added_at     REAL NOT NULL,
  removed_at   REAL
) STRICT;
CREATE UNIQUE INDEX project_name ON project (owner, name) WHERE removed_at IS NULL;

CREATE TABLE resource (
  id        TEXT PRIMARY KEY,            -- UUIDv7; survives replacement of the file
  project   TEXT NOT NULL REFERENCES project (id),
  role      TEXT NOT NULL,               -- root, code, library, dataset, component, model, config
  path      TEXT NOT NULL,               -- below the project's root; for people
  added_at  REAL NOT NULL
) STRICT;
CREATE INDEX resource_project ON resource (project);

-- An inode, for as long as it lives: inode numbers are reused at once, handles carry the generation.
CREATE TABLE object (
  id           INTEGER PRIMARY KEY,
  filesystem   TEXT NOT NULL,            -- UUID of the file system
  handle_type  INTEGER NOT NULL,
  handle       BLOB NOT NULL,            -- name_to_handle_at(2)
  inode        INTEGER NOT NULL,
  first_seen   REAL NOT NULL,
  gone_at      REAL,
  UNIQUE (filesystem, handle_type, handle)
) STRICT;

-- This name in this directory means this object, from then to then.
CREATE TABLE binding (
  id           INTEGER PRIMARY KEY,
  resource     TEXT NOT NULL REFERENCES resource (id),
  object       INTEGER NOT NULL REFERENCES object (id),
  parent_type  INTEGER NOT NULL,
  parent       BLOB NOT NULL,            -- handle of the directory
  name         BLOB NOT NULL,            -- Linux file names are bytes
  valid_from   REAL NOT NULL,
  valid_to     REAL
) STRICT;
CREATE INDEX binding_resource ON binding (resource) WHERE valid_to IS NULL;
CREATE INDEX binding_object ON binding (object);

-- What the resource contained. The digest is null until somebody had to know.
CREATE TABLE version (
  id        TEXT PRIMARY KEY,            -- UUIDv7
  resource  TEXT NOT NULL REFERENCES resource (id),
  object    INTEGER NOT NULL REFERENCES object (id),
  digest    BLOB,                        -- SHA-256
  size      INTEGER NOT NULL,
  mtime_ns  INTEGER NOT NULL,
  ctime_ns  INTEGER NOT NULL,
  made_by   INTEGER,                     -- the run that wrote it
  seen_at   REAL NOT NULL
) STRICT;
CREATE INDEX version_resource ON version (resource, seen_at);
CREATE INDEX version_digest ON version (digest) WHERE digest IS NOT NULL;
