-- Two runs that wait for one target come in another order than they were asked for: a transaction says itself when its
-- state was last told.

ALTER TABLE transactions ADD COLUMN record_id INTEGER;

UPDATE transactions SET record_id = (
  SELECT MAX(r.record_id) FROM records AS r
  WHERE r.kind = 'transaction' AND json_extract(r.data, '$.transaction') = transactions."transaction"
    AND json_extract(r.data, '$.target') = transactions.target
);

PRAGMA user_version = 3;
