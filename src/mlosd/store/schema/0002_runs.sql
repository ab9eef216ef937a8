-- Runs: every job that was ever submitted, and how it ended.

CREATE TABLE run (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,  -- people type it; never reused
  project       TEXT REFERENCES project (id),
  uid           INTEGER NOT NULL,
  env           TEXT NOT NULL,
  priority      INTEGER NOT NULL,
  state         TEXT NOT NULL,
  result        TEXT,
  submitted_at  REAL NOT NULL,
  ended_at      REAL,
  boot          TEXT NOT NULL,            -- boot id of the last change
  request       TEXT NOT NULL,            -- JSON: what was asked, by whom; never changes
  outcome       TEXT NOT NULL             -- JSON: what the state carries
) STRICT;
CREATE INDEX run_unfinished ON run (state) WHERE state <> 'DONE';
CREATE INDEX run_project ON run (project, id);
