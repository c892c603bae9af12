-- Every query of the SQLite store, by name. A block is `-- name: NAME`, a description, one statement.
-- Optional filters are written `(:x IS NULL OR column = :x)`; nothing is ever put together from pieces.

-- name: use_log
-- Write-ahead log: readers and the writer do not wait for each other. Kept in the file.
PRAGMA journal_mode = WAL;

-- name: sync_fully
-- A commit returns when the log is on disk.
PRAGMA synchronous = FULL;

-- name: check_references
-- Refuse rows that refer to nothing.
PRAGMA foreign_keys = ON;

-- name: temporary_in_memory
-- No files in /var/tmp: that folder belongs to the system that is changed, and is to be as it was.
PRAGMA temp_store = MEMORY;

-- name: no_checkpoint_in_commit
-- Checkpoints happen between batches, under the file lock.
PRAGMA wal_autocheckpoint = 0;

-- name: keep_log_on_restart
-- Keep so many bytes of the log file when it starts anew: what is there already is written faster.
PRAGMA journal_size_limit = 16777216;

-- name: named_blobs
-- What records and snapshots say of their blobs, each a JSON text that has the names in it.
SELECT blobs FROM events WHERE blobs IS NOT NULL
UNION ALL SELECT blobs FROM records WHERE blobs IS NOT NULL
UNION ALL SELECT blobs FROM snapshots WHERE blobs IS NOT NULL;

-- name: spill_at_once
-- Write the pages of a transaction to the log while it goes on, but for so many.
PRAGMA cache_size = 10;

-- name: spill_late
-- Keep the pages of a transaction in memory, up to so many KiB, as SQLite does by itself.
PRAGMA cache_size = -2000;

-- name: fill_log
-- Put so many bytes into the log, in a transaction that is taken back.
INSERT INTO definitions (hash, data) VALUES ('', zeroblob(:bytes));

-- name: wait_for_nobody
-- A lock that is taken is an error at once.
PRAGMA busy_timeout = 0;

-- name: wait_for_others
-- Wait for programs that do not take the file lock; milliseconds.
PRAGMA busy_timeout = 5000;

-- name: begin
-- Start the writer's transaction with the write lock, so that heads read in it cannot move.
BEGIN IMMEDIATE;

-- name: commit
-- End the writer's transaction. With synchronous=FULL it returns when the log is on disk.
COMMIT;

-- name: rollback
-- Forget the writer's transaction.
ROLLBACK;

-- name: save_item
-- Mark the place to which a bad append of a batch is taken back.
SAVEPOINT item;

-- name: release_item
-- Keep an append's rows.
RELEASE item;

-- name: undo_item
-- Forget an append's rows; the rest of the batch stays.
ROLLBACK TO item;

-- name: checkpoint_passive
-- Move what can be moved from the log to the database without waiting: (busy, frames, moved).
PRAGMA wal_checkpoint(PASSIVE);

-- name: checkpoint_truncate
-- Move everything and cut the log to nothing: (busy, frames, moved).
PRAGMA wal_checkpoint(TRUNCATE);

-- name: schema_version
-- The number of the last migration that was applied.
PRAGMA user_version;

-- name: quick_check
-- Look for damage in the file: one row `ok`, or one per problem.
PRAGMA quick_check(10);

-- name: head
-- The last sequence number of a run; 0 for a run that does not exist.
SELECT COALESCE(MAX(seq), 0) FROM events WHERE run_id = :run_id;

-- name: insert_event
-- One journal record.
INSERT INTO events (run_id, seq, type, step, attempt, at, data, blobs)
VALUES (:run_id, :seq, :type, :step, :attempt, :at, :data, :blobs);

-- name: insert_small_event
-- One journal record all of whose data are in its row.
INSERT INTO events (run_id, seq, type, step, attempt, at, data)
VALUES (:run_id, :seq, :type, :step, :attempt, :at, :data);

-- name: insert_record
-- One record of an event; its number is the order in which records were written.
INSERT INTO records (run_id, seq, kind, data, blobs)
VALUES (:run_id, :seq, :kind, :data, :blobs);

-- name: insert_definition
-- The definition that a run is created with; runs of one definition share it.
INSERT OR IGNORE INTO definitions (hash, data) VALUES (:hash, :data);

-- name: insert_run
-- A run from its RunCreated event.
INSERT INTO runs (run_id, workflow, workflow_hash, action, integration, version, target, status, inputs,
                  undoes, user, host, origin, created_at)
VALUES (:run_id, :workflow, :workflow_hash, :action, :integration, :version, :target, 'queued', :inputs,
        :undoes, :user, :host, :origin, :at);

-- name: insert_tag
-- A tag of a run, from its RunCreated event.
INSERT INTO tags (run_id, name, value) VALUES (:run_id, :name, :value);

-- name: start_run
-- RunStarted.
UPDATE runs SET status = COALESCE(:phase, 'running'), started_at = COALESCE(started_at, :at)
WHERE run_id = :run_id;

-- name: set_phase
-- What the run is doing meanwhile.
UPDATE runs SET status = :phase WHERE run_id = :run_id;

-- name: finish_run
-- RunFinished. `outcome` keeps the status, so that undoing and redoing the run can give it back. A run that
-- took itself back is undone by itself.
UPDATE runs SET
  status = :status,
  outcome = :status,
  error = :error,
  changed = :changed,
  finished_at = :at,
  undone_by = CASE :status WHEN 'rolled-back' THEN COALESCE(undone_by, run_id) ELSE undone_by END
WHERE run_id = :run_id;

-- name: give_up_waits
-- A step that waited when its run was stopped has no record of its own.
UPDATE steps SET status = 'cancelled', finished_at = :at WHERE run_id = :run_id AND status = 'waiting';

-- name: put_snapshot
-- Where a run stands that has no end; an older one never takes the place of a newer one.
INSERT INTO snapshots (run_id, seq, fold, data, blobs, digest)
SELECT :run_id, :seq, :fold, :data, :blobs, :digest
WHERE EXISTS (SELECT 1 FROM runs WHERE run_id = :run_id AND finished_at IS NULL)
ON CONFLICT (run_id) DO UPDATE SET
  seq = excluded.seq,
  fold = excluded.fold,
  data = excluded.data,
  blobs = excluded.blobs,
  digest = excluded.digest
WHERE excluded.seq > seq;

-- name: drop_snapshot
-- A run that has ended is not taken up again.
DELETE FROM snapshots WHERE run_id = :run_id;

-- name: select_snapshots
-- The snapshots of the runs in a JSON list of run ids.
SELECT run_id, seq, fold, CAST(data AS BLOB) AS data, blobs, digest FROM snapshots WHERE run_id IN (SELECT value FROM json_each(:run_ids));

-- name: set_tier
-- How well the run's effects can be taken back: as its least exact transaction.
UPDATE runs SET tier = :tier WHERE run_id = :run_id AND COALESCE(tier, 'exact') = 'exact';

-- name: put_step
-- Where a step stands. The first start is kept over retries.
INSERT INTO steps (run_id, step, position, status, attempt, started_at, finished_at, error, reason)
VALUES (:run_id, :step, :seq, :status, :attempt, :started_at, :finished_at, :error, :reason)
ON CONFLICT (run_id, step) DO UPDATE SET
  status = excluded.status,
  attempt = excluded.attempt,
  started_at = COALESCE(started_at, excluded.started_at),
  finished_at = excluded.finished_at,
  error = excluded.error,
  reason = excluded.reason;

-- name: put_done_step
-- Where a step stands that ended well, so without an error or a reason. The first start is kept over retries.
INSERT INTO steps (run_id, step, position, status, attempt, started_at, finished_at)
VALUES (:run_id, :step, :seq, :status, :attempt, :started_at, :finished_at)
ON CONFLICT (run_id, step) DO UPDATE SET
  status = excluded.status,
  attempt = excluded.attempt,
  started_at = COALESCE(started_at, excluded.started_at),
  finished_at = excluded.finished_at,
  error = NULL,
  reason = NULL;

-- name: insert_script
-- A script's provenance; its text is in the record.
INSERT INTO scripts (record_id, run_id, hash, integration, action, version, template, template_hash, interpreter)
VALUES (:record_id, :run_id, :hash, :integration, :action, :version, :template, :template_hash, :interpreter);

-- name: insert_finding
-- A finding of the validator.
INSERT INTO findings (record_id, run_id, rule, severity, message, line, "column", source, excerpt, hint, allowed)
VALUES (:record_id, :run_id, :rule, :severity, :message, :line, :column, :source, :excerpt, :hint, :allowed);

-- name: insert_output
-- Where a step's output is kept.
INSERT INTO outputs (record_id, run_id, step, path, bytes, truncated)
VALUES (:record_id, :run_id, :step, :path, :bytes, :truncated);

-- name: insert_change_set
-- Counts of a change set; packages, users, units and notes are in the record.
INSERT INTO change_sets (record_id, run_id, created, modified, deleted, appended, bytes_added)
VALUES (:record_id, :run_id, :created, :modified, :deleted, :appended, :bytes_added);

-- name: insert_change
-- One changed path.
INSERT INTO changes (record_id, run_id, path, action, kind, aspects, before, after)
VALUES (:record_id, :run_id, :path, :action, :kind, :aspects, :before, :after);

-- name: insert_check
-- One check result.
INSERT INTO checks (record_id, run_id, check_id, kind, status, observed, expected, description, duration_s, attempts)
VALUES (:record_id, :run_id, :check_id, :kind, :status, :observed, :expected, :description, :duration_s, :attempts);

-- name: put_transaction
-- The state of a transaction; it stays with the run that made it.
INSERT INTO transactions ("transaction", target, run_id, state, tier, updated_at, record_id)
VALUES (:transaction, :target, :run_id, :state, :tier, :at, :record_id)
ON CONFLICT (target, "transaction") DO UPDATE SET
  state = excluded.state,
  tier = CASE WHEN COALESCE(tier, 'exact') = 'exact' THEN COALESCE(excluded.tier, tier) ELSE tier END,
  updated_at = excluded.updated_at,
  record_id = excluded.record_id;

-- name: prune_transaction
-- The run :run_id gave up the before-images of a transaction; its state and its place in the order stay.
UPDATE transactions SET pruned_by = :run_id WHERE target = :target AND "transaction" = :transaction;

-- name: put_generation
-- What a run installed of an integration; a run that says it twice corrects itself.
INSERT INTO generations (run_id, target, integration, parameter_hash, parameters, manifest_version, manifest_hash,
                         "transaction", created_at)
VALUES (:run_id, :target, :integration, :parameter_hash, :parameters, :manifest_version, :manifest_hash,
        :transaction, :created_at)
ON CONFLICT (run_id, integration) DO UPDATE SET
  target = excluded.target,
  parameter_hash = excluded.parameter_hash,
  parameters = excluded.parameters,
  manifest_version = excluded.manifest_version,
  manifest_hash = excluded.manifest_hash,
  "transaction" = excluded."transaction";

-- name: remove_generation
-- A generation was ended on purpose, for example by an uninstall: that of the integration that the run is about.
UPDATE generations SET removed_by = :run_id, removed_reason = :reason
WHERE run_id = :generation
  AND integration = COALESCE((SELECT integration FROM runs WHERE run_id = :run_id), integration);

-- name: undo_run
-- A run was rolled back by another one.
UPDATE runs SET status = 'rolled-back', undone_by = :by WHERE run_id = :run;

-- name: set_undoes
-- The run :by rolled :run back.
UPDATE runs SET undoes = :run WHERE run_id = :by;

-- name: set_undoes_undoer
-- The run :by takes back the run that rolled :run back.
UPDATE runs SET undoes = (SELECT undone_by FROM runs WHERE run_id = :run) WHERE run_id = :by;

-- name: set_subject
-- What a run is about, once that is known by its real name.
UPDATE runs SET integration = :integration, version = :version WHERE run_id = :run_id;

-- name: undo_undoer
-- The run that rolled :run back was itself taken back, by the run that brings :run in force again.
UPDATE runs SET status = 'rolled-back', undone_by = :by
WHERE run_id = (SELECT undone_by FROM runs WHERE run_id = :run) AND run_id <> :run;

-- name: redo_run
-- A rolled-back run is in force again, with the status that it had.
UPDATE runs SET status = COALESCE(outcome, status), undone_by = NULL WHERE run_id = :run;

-- name: settle_generations
-- Say which run ended each generation of the integrations that :run touched; NULL makes it live. In order:
-- the run that rolled its run back, the run that removed it (unless that one was rolled back), the next
-- generation of the same integration whose run was not rolled back.
UPDATE generations AS g SET ended_by = COALESCE(
  (SELECT own.undone_by FROM runs AS own WHERE own.run_id = g.run_id),
  (SELECT remover.run_id FROM runs AS remover WHERE remover.run_id = g.removed_by AND remover.undone_by IS NULL),
  (SELECT later.run_id FROM generations AS later JOIN runs AS r ON r.run_id = later.run_id
   WHERE later.target = g.target AND later.integration = g.integration
     AND later.generation_id > g.generation_id AND r.undone_by IS NULL
   ORDER BY later.generation_id LIMIT 1))
WHERE (target, integration) IN
  (SELECT target, integration FROM generations WHERE run_id = :run OR removed_by = :run);

-- name: select_definition
-- A definition by its hash.
SELECT data FROM definitions WHERE hash = :hash;

-- name: select_events
-- A page of a run's events in order.
SELECT seq, type, step, attempt, at, data, blobs FROM events
WHERE run_id = :run_id AND seq > :after ORDER BY seq LIMIT :limit;

-- name: select_events_of
-- A page of the events of the runs in a JSON list of run ids, after an event of one of them, run by run.
SELECT run_id, seq, type, step, attempt, at, data, blobs FROM events
WHERE run_id IN (SELECT value FROM json_each(:run_ids)) AND (run_id, seq) > (:run_id, :after)
ORDER BY run_id, seq LIMIT :limit;

-- name: select_records
-- A page of a run's records in the order in which they were written.
SELECT record_id, kind, data, blobs FROM records
WHERE run_id = :run_id AND (:kind IS NULL OR kind = :kind) AND record_id > :after
ORDER BY record_id LIMIT :limit;

-- name: select_run
-- One run.
SELECT run_id, action, integration, version, target, status, changed, tier, error, undoes, undone_by,
       (SELECT MAX(t.pruned_by) FROM transactions AS t WHERE t.run_id = runs.run_id) AS pruned_by,
       workflow, workflow_hash, inputs, user, host, origin, created_at, started_at, finished_at
FROM runs WHERE run_id = :run_id;

-- name: select_unfinished
-- Ids and workflows of the runs on a target that have no end, in the order in which they came, whatever the clock said.
SELECT run_id, workflow FROM runs
WHERE target = :target AND finished_at IS NULL
ORDER BY rowid LIMIT :limit;

-- name: select_unfinished_of
-- The runs of an action that have no end, in the order in which they came.
SELECT run_id, workflow, status FROM runs
WHERE action = :action AND finished_at IS NULL
ORDER BY rowid LIMIT :limit;

-- name: select_runs
-- Runs, that which came last first, whatever the clock said.
SELECT run_id, action, integration, version, target, status, changed, tier, error, undoes, undone_by,
       (SELECT MAX(t.pruned_by) FROM transactions AS t WHERE t.run_id = runs.run_id) AS pruned_by,
       workflow, workflow_hash, inputs, user, host, origin, created_at, started_at, finished_at
FROM runs
WHERE (:status IS NULL OR status = :status)
  AND (:integration IS NULL OR integration = :integration)
  AND (:target IS NULL OR target = :target)
  AND (:action IS NULL OR action = :action)
  AND (:tags IS NULL OR NOT EXISTS (
    SELECT 1 FROM json_each(:tags) AS wanted
    WHERE NOT EXISTS (
      SELECT 1 FROM tags
      WHERE tags.run_id = runs.run_id AND tags.name = wanted.key
        AND (wanted.value IS NULL OR tags.value = wanted.value))))
ORDER BY rowid DESC LIMIT :limit;

-- name: select_run_figures
-- Runs by workflow, state and, of those that ended, the bound up to which their time from beginning to end lies
-- (null: longer than all bounds); `first` orders workflows by age. The bounds are those of `DURATION_BOUNDS`.
SELECT workflow, state, ended, up_to, COUNT(*) AS runs, SUM(duration) AS seconds, MIN(place) AS first
FROM (
  SELECT place, workflow, state, ended, duration,
         CASE WHEN duration <= 0.1 THEN 0.1 WHEN duration <= 0.5 THEN 0.5 WHEN duration <= 1 THEN 1.0
              WHEN duration <= 5 THEN 5.0 WHEN duration <= 15 THEN 15.0 WHEN duration <= 60 THEN 60.0
              WHEN duration <= 300 THEN 300.0 WHEN duration <= 900 THEN 900.0 WHEN duration <= 3600 THEN 3600.0
              WHEN duration <= 14400 THEN 14400.0 WHEN duration <= 86400 THEN 86400.0 END AS up_to
  FROM (
    SELECT rowid AS place, workflow, COALESCE(outcome, status) AS state, finished_at IS NOT NULL AS ended,
           MAX(0.0, finished_at - COALESCE(started_at, created_at)) AS duration
    FROM runs))
GROUP BY workflow, state, ended, up_to;

-- name: select_measured
-- What the steps of the newest runs of an action measured, the newest value first.
SELECT newest.workflow, records.data, records.blobs
FROM (SELECT run_id, workflow FROM runs WHERE action = :action ORDER BY rowid DESC LIMIT :runs) AS newest
JOIN records ON records.run_id = newest.run_id AND records.kind = 'metric'
ORDER BY records.record_id DESC LIMIT :limit;

-- name: select_tags
-- The tags of the runs in a JSON list of run ids.
SELECT run_id, name, value FROM tags WHERE run_id IN (SELECT value FROM json_each(:run_ids)) ORDER BY run_id, name;

-- name: select_steps
-- The steps of the runs in a JSON list of run ids, in the order in which they began.
SELECT run_id, step, status, attempt, started_at, finished_at, error, reason FROM steps
WHERE run_id IN (SELECT value FROM json_each(:run_ids)) ORDER BY run_id, position;

-- name: select_ids
-- Run ids from :low (included) to :high (not included).
SELECT run_id FROM runs WHERE run_id >= :low AND run_id < :high ORDER BY run_id LIMIT :limit;

-- name: select_generations
-- Generations of a target, or of all, newest first.
SELECT target, integration, run_id, parameter_hash, parameters, manifest_version, manifest_hash, "transaction",
       live, created_at, ended_by
FROM generations
WHERE (:target IS NULL OR target = :target) AND (:integration IS NULL OR integration = :integration)
  AND (NOT :live_only OR live)
ORDER BY generation_id DESC LIMIT :limit;

-- name: select_latest_transaction
-- The last committed transaction on a target whose run was not undone, whatever the clock said and whichever run was
-- asked for first; none of a run that changed nothing.
SELECT t."transaction", t.run_id, t.target, t.state, COALESCE(t.tier, r.tier) AS tier, r.action, r.integration,
       r.version, r.status, r.created_at
FROM transactions AS t JOIN runs AS r ON r.run_id = t.run_id
WHERE t.target = :target AND t.state = 'committed' AND COALESCE(r.changed, 1) AND r.undone_by IS NULL
ORDER BY t.record_id DESC LIMIT 1;

-- name: select_standing
-- The runs with committed transactions on a target that were not undone, the last committed first; none of a run that
-- changed nothing. A run that was rolled back once is committed anew when it comes again.
SELECT t.run_id, r.action, r.integration, r.version, r.status,
       EXISTS (SELECT 1 FROM runs AS u WHERE u.undoes = t.run_id) AS redone
FROM transactions AS t JOIN runs AS r ON r.run_id = t.run_id
WHERE t.target = :target AND t.state = 'committed' AND COALESCE(r.changed, 1) AND r.undone_by IS NULL
GROUP BY t.run_id ORDER BY MAX(t.record_id) DESC LIMIT :limit;

-- name: select_transactions
-- The transactions of a target that are committed or rolled back, the one that last became so first.
SELECT "transaction", run_id, state, pruned_by, updated_at FROM transactions
WHERE target = :target AND state IN ('committed', 'rolled-back')
ORDER BY record_id DESC LIMIT :limit;

-- name: last_page
-- The newest revision of a page: its number and its hash.
SELECT page_id, revision, sha256, subject FROM knowledge_pages WHERE address = :address ORDER BY revision DESC LIMIT 1;

-- name: insert_page
-- A page as it was read.
INSERT INTO knowledge_pages (address, revision, subject, source, title, sha256, fetched_at, flags, commands)
VALUES (:address, :revision, :subject, :source, :title, :hash, :fetched_at, :flags, :commands);

-- name: confirm_page
-- A page that says the same as before: when that was last seen, and whom it is about.
UPDATE knowledge_pages SET fetched_at = :fetched_at, subject = COALESCE(:subject, subject) WHERE page_id = :page_id;

-- name: insert_fact
-- One statement of a page.
INSERT INTO knowledge_facts (page_id, kind, value, platforms, details, provenance)
VALUES (:page_id, :kind, :value, :platforms, :details, :provenance);

-- name: insert_fact_text
-- The words by which a statement is found.
INSERT INTO knowledge_text (rowid, value, said, title) VALUES (:fact_id, :value, :said, :title);

-- name: select_pages
-- The newest revision of every page, the one that was fetched last first.
SELECT p.page_id, p.address, p.revision, p.subject, p.source, p.title, p.sha256, p.fetched_at,
       (SELECT COUNT(*) FROM knowledge_facts AS f WHERE f.page_id = p.page_id) AS facts
FROM knowledge_pages AS p
WHERE p.revision = (SELECT MAX(q.revision) FROM knowledge_pages AS q WHERE q.address = p.address)
  AND (:subject IS NULL OR p.subject = :subject)
ORDER BY p.fetched_at DESC, p.page_id DESC LIMIT :limit;

-- name: select_revisions
-- All revisions of a page, the newest first.
SELECT page_id, address, revision, subject, source, title, sha256, fetched_at, flags, commands
FROM knowledge_pages WHERE address = :address ORDER BY revision DESC LIMIT :limit;

-- name: select_facts
-- The statements of some pages, in the order in which they stand there.
SELECT f.fact_id, p.address, f.kind, f.value, f.platforms, f.details, f.provenance
FROM knowledge_facts AS f JOIN knowledge_pages AS p ON p.page_id = f.page_id
WHERE f.page_id IN (SELECT value FROM json_each(:page_ids)) AND (:kind IS NULL OR f.kind = :kind)
ORDER BY f.page_id, f.fact_id LIMIT :limit;

-- name: search_facts
-- Statements of newest revisions that hold the words, the best first.
SELECT f.fact_id, p.address, p.title, p.subject, f.kind, f.value, f.platforms, f.details, f.provenance
FROM knowledge_text AS t
JOIN knowledge_facts AS f ON f.fact_id = t.rowid
JOIN knowledge_pages AS p ON p.page_id = f.page_id
WHERE knowledge_text MATCH :words AND (:kind IS NULL OR f.kind = :kind)
  AND p.revision = (SELECT MAX(q.revision) FROM knowledge_pages AS q WHERE q.address = p.address)
ORDER BY bm25(knowledge_text, 4.0, 1.0, 1.0), f.fact_id LIMIT :limit;

-- name: put_improvement
-- A suggestion; one that was made before is seen once more, and keeps what was decided about it.
INSERT INTO improvements (improvement_id, integration, failure, suggestion, evidence, state, seen, created_at, updated_at)
VALUES (:improvement_id, :integration, :failure, :suggestion, :evidence, 'open', 1, :at, :at)
ON CONFLICT (improvement_id) DO UPDATE SET
  evidence = excluded.evidence,
  seen = seen + 1,
  updated_at = excluded.updated_at;

-- name: select_improvement
-- One suggestion.
SELECT improvement_id, integration, failure, suggestion, evidence, state, seen, created_at, updated_at, decided_by
FROM improvements WHERE improvement_id = :improvement_id;

-- name: select_improvements
-- Suggestions, that which was seen last first.
SELECT improvement_id, integration, failure, suggestion, evidence, state, seen, created_at, updated_at, decided_by
FROM improvements
WHERE (:state IS NULL OR state = :state) AND (:integration IS NULL OR integration = :integration)
ORDER BY updated_at DESC, improvement_id LIMIT :limit;

-- name: decide_improvement
-- What a person said about a suggestion.
UPDATE improvements SET state = :state, decided_by = :decided_by, updated_at = :at WHERE improvement_id = :improvement_id;

-- name: leaving_memories
-- Entries of a collection that go when one is kept: an earlier one of the same source, and those beyond the newest.
SELECT memory_id FROM agent_memories
WHERE collection = :collection AND (source = :source OR memory_id IN (
  SELECT memory_id FROM agent_memories WHERE collection = :collection AND source <> :source
  ORDER BY memory_id DESC LIMIT -1 OFFSET :most));

-- name: drop_memory
-- Forgets an entry.
DELETE FROM agent_memories WHERE memory_id = :memory_id;

-- name: drop_memory_text
-- Forgets the words of an entry.
DELETE FROM memory_text WHERE rowid = :memory_id;

-- name: insert_memory
-- What an agent was asked and answered.
INSERT INTO agent_memories (collection, source, run_id, agent, asked, answered, kept_at)
VALUES (:collection, :source, :run_id, :agent, :asked, :answered, :kept_at);

-- name: insert_memory_text
-- Its words, to be searched.
INSERT INTO memory_text (rowid, asked, answered) VALUES (:memory_id, :asked, :answered);

-- name: search_memories
-- Entries of a collection that hold some of the words, the best first.
SELECT m.run_id, m.agent, m.asked, m.answered, m.kept_at
FROM memory_text AS t
JOIN agent_memories AS m ON m.memory_id = t.rowid
WHERE memory_text MATCH :words AND m.collection = :collection
ORDER BY bm25(memory_text, 2.0, 1.0), m.memory_id DESC LIMIT :limit;

-- name: select_collections
-- Collections of memories, with how many entries each has and when the newest was kept.
SELECT collection, COUNT(*) AS entries, MAX(kept_at) AS kept_at FROM agent_memories GROUP BY collection ORDER BY collection;

-- name: select_memories
-- Entries of a collection, the newest first.
SELECT run_id, agent, asked, answered, kept_at FROM agent_memories
WHERE collection = :collection ORDER BY memory_id DESC LIMIT :limit;

-- name: drop_collection_text
-- Forgets the words of a collection; before its entries.
DELETE FROM memory_text WHERE rowid IN (SELECT memory_id FROM agent_memories WHERE collection = :collection);

-- name: drop_collection
-- Forgets the entries of a collection.
DELETE FROM agent_memories WHERE collection = :collection;
