-- When a lease ends, beside the database's clock.
SELECT expires_at, {now} AS now FROM leases WHERE name = $1
