-- Stores hints (address, worker, origin in hex, difficulty, measured at), each address and worker once. Of two for the
-- same one the newer stays.
INSERT INTO vardiff_hints (address, worker, origin, difficulty, measured_at)
SELECT value->>0, value->>1, {unhex(value->>2)}, CAST(value->>3 AS BIGINT), CAST(value->>4 AS BIGINT)
FROM {rows} WHERE true
ON CONFLICT (address, worker) DO UPDATE SET
    origin = excluded.origin,
    difficulty = excluded.difficulty,
    measured_at = excluded.measured_at
WHERE vardiff_hints.measured_at < excluded.measured_at
