-- Segments that end up to this position grow no more.
UPDATE hosts SET closed_seq = $1 WHERE id = $2
