-- Journal and history. Times are UTC seconds since the epoch. Text that is no valid Unicode stands with
-- backslash escapes; the JSON columns hold the exact text as JSON escapes. `docs/history.md` documents
-- every table and column, and a test compares the two.

CREATE TABLE runs (
  run_id        TEXT PRIMARY KEY,
  workflow      TEXT NOT NULL,
  workflow_hash TEXT NOT NULL,
  action        TEXT,
  integration   TEXT,
  version       TEXT,
  target        TEXT,
  status        TEXT NOT NULL,
  outcome       TEXT,
  changed       INTEGER CHECK (changed IN (0, 1)),
  tier          TEXT,
  error         TEXT,
  undoes        TEXT,
  undone_by     TEXT,
  inputs        TEXT NOT NULL,
  user          TEXT,
  host          TEXT,
  created_at    REAL NOT NULL,
  started_at    REAL,
  finished_at   REAL
);
CREATE INDEX runs_newest ON runs (created_at, run_id);
CREATE INDEX runs_unfinished ON runs (target, created_at) WHERE finished_at IS NULL;

CREATE TABLE events (
  run_id  TEXT NOT NULL REFERENCES runs (run_id),
  seq     INTEGER NOT NULL CHECK (seq > 0),
  type    TEXT NOT NULL,
  step    TEXT,
  attempt INTEGER NOT NULL,
  at      REAL NOT NULL,
  data    TEXT NOT NULL,
  blobs   TEXT,
  PRIMARY KEY (run_id, seq)
);

CREATE TABLE records (
  record_id INTEGER PRIMARY KEY,
  run_id    TEXT NOT NULL,
  seq       INTEGER NOT NULL,
  kind      TEXT NOT NULL,
  data      TEXT NOT NULL,
  blobs     TEXT,
  FOREIGN KEY (run_id, seq) REFERENCES events (run_id, seq)
);
CREATE INDEX records_of_run ON records (run_id, kind, record_id);

CREATE TABLE steps (
  run_id      TEXT NOT NULL REFERENCES runs (run_id),
  step        TEXT NOT NULL,
  position    INTEGER NOT NULL,
  status      TEXT NOT NULL,
  attempt     INTEGER NOT NULL,
  started_at  REAL,
  finished_at REAL,
  error       TEXT,
  reason      TEXT,
  PRIMARY KEY (run_id, step)
);

CREATE TABLE scripts (
  record_id     INTEGER PRIMARY KEY REFERENCES records (record_id),
  run_id        TEXT NOT NULL REFERENCES runs (run_id),
  hash          TEXT,
  integration   TEXT,
  action        TEXT,
  version       TEXT,
  template      TEXT,
  template_hash TEXT,
  interpreter   TEXT
);
CREATE INDEX scripts_of_run ON scripts (run_id);

CREATE TABLE findings (
  record_id INTEGER PRIMARY KEY REFERENCES records (record_id),
  run_id    TEXT NOT NULL REFERENCES runs (run_id),
  rule      TEXT,
  severity  TEXT,
  message   TEXT,
  line      INTEGER,
  "column"  INTEGER,
  source    TEXT,
  excerpt   TEXT,
  hint      TEXT,
  allowed   INTEGER CHECK (allowed IN (0, 1))
);
CREATE INDEX findings_of_run ON findings (run_id);

CREATE TABLE outputs (
  record_id INTEGER PRIMARY KEY REFERENCES records (record_id),
  run_id    TEXT NOT NULL REFERENCES runs (run_id),
  step      TEXT,
  path      TEXT,
  bytes     INTEGER,
  truncated INTEGER CHECK (truncated IN (0, 1))
);
CREATE INDEX outputs_of_run ON outputs (run_id);

CREATE TABLE change_sets (
  record_id   INTEGER PRIMARY KEY REFERENCES records (record_id),
  run_id      TEXT NOT NULL REFERENCES runs (run_id),
  created     INTEGER NOT NULL,
  modified    INTEGER NOT NULL,
  deleted     INTEGER NOT NULL,
  appended    INTEGER NOT NULL,
  bytes_added INTEGER
);
CREATE INDEX change_sets_of_run ON change_sets (run_id);

CREATE TABLE changes (
  change_id INTEGER PRIMARY KEY,
  record_id INTEGER NOT NULL REFERENCES change_sets (record_id),
  run_id    TEXT NOT NULL REFERENCES runs (run_id),
  path      TEXT NOT NULL,
  action    TEXT NOT NULL,
  kind      TEXT,
  aspects   TEXT,
  before    TEXT,
  after     TEXT
);
CREATE INDEX changes_of_set ON changes (record_id);
CREATE INDEX changes_of_path ON changes (path);

CREATE TABLE checks (
  record_id   INTEGER PRIMARY KEY REFERENCES records (record_id),
  run_id      TEXT NOT NULL REFERENCES runs (run_id),
  check_id    TEXT,
  kind        TEXT,
  status      TEXT,
  observed    TEXT,
  expected    TEXT,
  description TEXT,
  duration_s  REAL,
  attempts    INTEGER
);
CREATE INDEX checks_of_run ON checks (run_id);

CREATE TABLE transactions (
  "transaction" TEXT NOT NULL,
  target        TEXT NOT NULL,
  run_id        TEXT NOT NULL REFERENCES runs (run_id),
  state         TEXT NOT NULL,
  tier          TEXT,
  updated_at    REAL NOT NULL,
  PRIMARY KEY (target, "transaction")
);
CREATE INDEX transactions_of_run ON transactions (run_id);

CREATE TABLE generations (
  generation_id    INTEGER PRIMARY KEY,
  run_id           TEXT NOT NULL UNIQUE REFERENCES runs (run_id),
  target           TEXT NOT NULL,
  integration      TEXT NOT NULL,
  parameter_hash   TEXT NOT NULL,
  parameters       TEXT NOT NULL,
  manifest_version TEXT NOT NULL,
  manifest_hash    TEXT NOT NULL,
  "transaction"    TEXT,
  created_at       REAL NOT NULL,
  removed_by       TEXT,
  removed_reason   TEXT,
  ended_by         TEXT,
  live             INTEGER NOT NULL GENERATED ALWAYS AS (ended_by IS NULL) VIRTUAL
);
CREATE INDEX generations_of_integration ON generations (target, integration, generation_id);

PRAGMA user_version = 1;
