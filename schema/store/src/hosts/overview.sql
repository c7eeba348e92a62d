-- All hosts with the blocks that wait for each: those without weights whose window may have shares that the host has
-- not folded.
SELECT h.id, h.name, h.registered_at, h.folded_seq, h.folded_at, h.caught_up_at, h.opened_at, h.closed_at, h.retired_at,
    r.name AS replaces,
    (SELECT g.last_seq FROM log_gaps g WHERE g.host_id = h.id AND g.kind = 'elsewhere') AS goes_on_after,
    (
        SELECT COUNT(*) FROM blocks b LEFT JOIN block_windows w ON w.block_id = b.id AND w.host_id = h.id
        WHERE b.state IN ('candidate', 'submitted', 'seen') AND w.end_seq IS NULL
            -- It was there at the find, and has not passed it: see `hosts.rs`.
            AND (h.registered_at <= b.found_at OR h.opened_at <= b.found_at)
            AND h.retired_at IS NULL AND h.closed_at IS NULL AND h.opened_at <= b.found_at
            AND NOT h.caught_up_at >= (b.found_at / 60000 + 2) * 60000
            AND NOT EXISTS (
                SELECT 1 FROM segments s JOIN worker_identities i ON i.id = s.identity_id
                WHERE i.host_id = h.id AND s.minute > b.found_at / 60000
            )
    ) AS waiting_blocks
FROM hosts h LEFT JOIN hosts r ON r.id = h.replaces
ORDER BY h.id
