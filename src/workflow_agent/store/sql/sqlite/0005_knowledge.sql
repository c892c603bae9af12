-- What documentation and package metadata say: pages by revision, their facts, full-text search; suggestions of the improver.

CREATE TABLE knowledge_pages (
  page_id    INTEGER PRIMARY KEY,
  address    TEXT NOT NULL,
  revision   INTEGER NOT NULL,
  subject    TEXT,
  source     TEXT NOT NULL,
  title      TEXT NOT NULL,
  sha256     TEXT NOT NULL,
  fetched_at REAL NOT NULL,
  flags      TEXT NOT NULL,
  commands   TEXT NOT NULL,
  UNIQUE (address, revision)
);
CREATE INDEX knowledge_pages_of_subject ON knowledge_pages (subject, page_id);

CREATE TABLE knowledge_facts (
  fact_id    INTEGER PRIMARY KEY,
  page_id    INTEGER NOT NULL REFERENCES knowledge_pages (page_id),
  kind       TEXT NOT NULL,
  value      TEXT NOT NULL,
  platforms  TEXT NOT NULL,
  details    TEXT NOT NULL,
  provenance TEXT NOT NULL
);
CREATE INDEX knowledge_facts_of_page ON knowledge_facts (page_id, fact_id);
CREATE INDEX knowledge_facts_by_value ON knowledge_facts (kind, value);

CREATE VIRTUAL TABLE knowledge_text USING fts5 (value, said, title, tokenize = "unicode61 tokenchars '_'");

CREATE TABLE improvements (
  improvement_id TEXT PRIMARY KEY,
  integration    TEXT,
  failure        TEXT NOT NULL,
  suggestion     TEXT NOT NULL,
  evidence       TEXT NOT NULL,
  state          TEXT NOT NULL,
  seen           INTEGER NOT NULL,
  created_at     REAL NOT NULL,
  updated_at     REAL NOT NULL,
  decided_by     TEXT
);

PRAGMA user_version = 5;
