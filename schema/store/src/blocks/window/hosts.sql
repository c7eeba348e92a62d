-- Hosts that were there at the find of a block: whether its window has an end in their log, whether that is folded, and
-- whether they have passed the find.
SELECT h.id, h.name, w.end_seq IS NOT NULL AS ended,
    h.retired_at IS NOT NULL OR h.folded_seq >= COALESCE(w.end_seq, 0) AS folded,
    (
        -- Both conditions as in `hosts.rs`.
        NOT (h.retired_at IS NULL AND h.closed_at IS NULL AND h.opened_at <= b.found_at)
        OR h.caught_up_at >= (b.found_at / 60000 + 2) * 60000
        OR EXISTS (
            SELECT 1 FROM segments s JOIN worker_identities i ON i.id = s.identity_id
            WHERE i.host_id = h.id AND s.minute > b.found_at / 60000
        )
    ) AS passed
FROM blocks b JOIN hosts h ON true LEFT JOIN block_windows w ON w.block_id = b.id AND w.host_id = h.id
WHERE b.id = $1 AND (w.end_seq IS NOT NULL OR h.registered_at <= b.found_at OR h.opened_at <= b.found_at)
ORDER BY h.name
