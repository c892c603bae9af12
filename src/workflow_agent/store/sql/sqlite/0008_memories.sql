-- What agents were asked and answered, by collection, with full-text search: their memory between runs.
CREATE TABLE agent_memories (
  memory_id  INTEGER PRIMARY KEY,
  collection TEXT NOT NULL,
  source     TEXT NOT NULL,
  run_id     TEXT NOT NULL,
  agent      TEXT NOT NULL,
  asked      TEXT NOT NULL,
  answered   TEXT NOT NULL,
  kept_at    REAL NOT NULL,
  UNIQUE (collection, source)
);
CREATE INDEX agent_memories_by_age ON agent_memories (collection, memory_id);

CREATE VIRTUAL TABLE memory_text USING fts5 (asked, answered, tokenize = "unicode61 tokenchars '_'");

PRAGMA user_version = 8;
