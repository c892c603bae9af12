-- Where long runs stand, so that taking one up reads the records after that only. Nothing is lost with a row.
CREATE TABLE snapshots (
  run_id TEXT PRIMARY KEY,
  seq    INTEGER NOT NULL,
  fold   TEXT NOT NULL,
  data   BLOB NOT NULL,
  blobs  TEXT,
  digest TEXT NOT NULL,
  FOREIGN KEY (run_id, seq) REFERENCES events (run_id, seq)
);
PRAGMA user_version = 7;
