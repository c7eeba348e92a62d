-- The cleaner goes back to a minute that came late.
UPDATE retention_marks SET minute = $1 WHERE kind IN ('ten_minutes', 'days') AND minute > $1
