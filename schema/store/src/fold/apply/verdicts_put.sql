-- The first verdict on a share stays, but `voided` replaces any other.
INSERT INTO verdicts (host_id, share_seq, identity_id, minute, difficulty, verdict, seq)
SELECT h.id, CAST(value->>0 AS BIGINT), CAST(value->>1 AS BIGINT), CAST(value->>2 AS BIGINT),
    CAST(value->>3 AS BIGINT), value->>4, CAST(value->>5 AS BIGINT)
FROM {rows} CROSS JOIN hosts h WHERE h.id = $2
ON CONFLICT (host_id, share_seq) DO UPDATE SET verdict = excluded.verdict, seq = excluded.seq
WHERE excluded.verdict = 'voided' AND verdicts.verdict <> 'voided'
