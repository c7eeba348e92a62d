-- Takes or renews a lease; no row while another holder's has not expired.
-- Epochs begin at the clock: a database that was put back from a copy must not give an epoch again that a frozen process
-- holds.
INSERT INTO leases (name, holder, epoch, expires_at) VALUES ($1, $2, {now}, {now} + $3)
ON CONFLICT (name) DO UPDATE SET
    holder = excluded.holder,
    expires_at = excluded.expires_at,
    epoch = CASE
        WHEN leases.holder = excluded.holder THEN leases.epoch
        WHEN leases.epoch < excluded.epoch THEN excluded.epoch
        ELSE leases.epoch + 1
    END
WHERE leases.holder = excluded.holder OR leases.expires_at <= {now}
RETURNING epoch
