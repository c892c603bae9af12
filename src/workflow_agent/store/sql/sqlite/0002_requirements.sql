-- A run may install several integrations: what was asked for, and what that requires. Runs keep the definition that
-- they were created with, once per definition.

CREATE TABLE definitions (
  hash TEXT PRIMARY KEY,
  data TEXT NOT NULL
);

CREATE TABLE generations_2 (
  generation_id    INTEGER PRIMARY KEY,
  run_id           TEXT NOT NULL REFERENCES runs (run_id),
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
  live             INTEGER NOT NULL GENERATED ALWAYS AS (ended_by IS NULL) VIRTUAL,
  UNIQUE (run_id, integration)
);

INSERT INTO generations_2 (generation_id, run_id, target, integration, parameter_hash, parameters, manifest_version,
                           manifest_hash, "transaction", created_at, removed_by, removed_reason, ended_by)
SELECT generation_id, run_id, target, integration, parameter_hash, parameters, manifest_version,
       manifest_hash, "transaction", created_at, removed_by, removed_reason, ended_by
FROM generations;

DROP TABLE generations;

ALTER TABLE generations_2 RENAME TO generations;

CREATE INDEX generations_of_integration ON generations (target, integration, generation_id);

PRAGMA user_version = 2;
