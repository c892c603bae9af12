-- Before-images are given up by a run; the transaction stays in history.
ALTER TABLE transactions ADD COLUMN pruned_by TEXT;
CREATE INDEX transactions_of_runs ON transactions (run_id);
PRAGMA user_version = 4;
