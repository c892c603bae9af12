-- Every query of the database of places, by name; blocks as in queries.sql.

-- name: no_sync
-- A database of one boot need not outlive a power cut.
PRAGMA synchronous = OFF;

-- name: make_places
-- Who has a place, or stands in line for it.
CREATE TABLE IF NOT EXISTS place (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    ticket TEXT NOT NULL UNIQUE,
    key TEXT NOT NULL,
    room INTEGER NOT NULL,
    run_id TEXT NOT NULL,
    unit TEXT NOT NULL,
    kind TEXT NOT NULL,
    priority INTEGER NOT NULL,
    per_s REAL,
    has_it INTEGER NOT NULL DEFAULT 0,
    asked INTEGER NOT NULL DEFAULT 0,
    owner TEXT NOT NULL
);

-- name: make_places_by_key
-- Lines are looked at by key.
CREATE INDEX IF NOT EXISTS place_key ON place (key);

-- name: make_places_by_run
-- What a run waits for.
CREATE INDEX IF NOT EXISTS place_run ON place (run_id);

-- name: make_starts
-- When something with a rate was started.
CREATE TABLE IF NOT EXISTS start (key TEXT NOT NULL, at REAL NOT NULL);

-- name: make_starts_by_key
-- Starts are counted by key and time.
CREATE INDEX IF NOT EXISTS start_key ON start (key, at);

-- name: take
-- Nobody else looks or writes until this is over.
BEGIN IMMEDIATE;

-- name: keep
-- What was changed holds.
COMMIT;

-- name: drop
-- What was changed does not hold.
ROLLBACK;

-- name: has_place
-- The place is theirs.
UPDATE place SET has_it = 1 WHERE ticket = :ticket;

-- name: ask_to_leave
-- They are to give their place to another one.
UPDATE place SET asked = 1 WHERE ticket = :ticket;

-- name: asked_of_key
-- Who was asked to leave.
SELECT ticket FROM place WHERE key = :key AND asked;

-- name: asked_of_owner
-- The runs of a process that are asked to leave.
SELECT run_id FROM place WHERE owner = :owner AND asked ORDER BY number;

-- name: leave_place
-- Neither place nor line.
DELETE FROM place WHERE ticket = :ticket;

-- name: leave_all
-- A process has ended.
DELETE FROM place WHERE owner = :owner;

-- name: waits_of_run
-- What a run stands in line for.
SELECT ticket, key, room, run_id, unit, kind, priority, per_s FROM place
WHERE run_id = :run_id AND NOT has_it ORDER BY number;

-- name: line_of_key
-- Who has a place of a key or stands in line, in the order in which they came.
SELECT number, ticket, run_id, unit, priority, has_it FROM place WHERE key = :key ORDER BY number;

-- name: length_of_line
-- How many there are.
SELECT count(*) FROM place WHERE key = :key;

-- name: ticket_known
-- Whether they stand there already.
SELECT 1 FROM place WHERE ticket = :ticket;

-- name: line_up
-- One more stands in line.
INSERT INTO place (ticket, key, room, run_id, unit, kind, priority, per_s, owner)
VALUES (:ticket, :key, :room, :run_id, :unit, :kind, :priority, :per_s, :owner);

-- name: other_owners
-- Which other processes have rows of a key.
SELECT DISTINCT owner FROM place WHERE key = :key AND owner != :owner;

-- name: forget_starts
-- Starts that do not count any more, and those of a clock that was set back.
DELETE FROM start WHERE key = :key AND (at <= :first OR at > :last);

-- name: count_starts
-- How many count, and the oldest of them.
SELECT count(*), min(at) FROM start WHERE key = :key;

-- name: add_start
-- One more.
INSERT INTO start (key, at) VALUES (:key, :at);
