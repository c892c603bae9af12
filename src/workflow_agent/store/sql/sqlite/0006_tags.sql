-- What people call their runs by, and which run another one was made from.
ALTER TABLE runs ADD COLUMN origin TEXT;

CREATE TABLE tags (
  run_id TEXT NOT NULL REFERENCES runs (run_id),
  name   TEXT NOT NULL,
  value  TEXT NOT NULL,
  PRIMARY KEY (run_id, name)
) WITHOUT ROWID;
CREATE INDEX tags_by_value ON tags (name, value, run_id);
PRAGMA user_version = 6;
