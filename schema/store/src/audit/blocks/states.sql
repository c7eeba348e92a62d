-- Blocks whose state does not follow from their credits and reversals.
SELECT hash || ' ' || state AS subject, credits AS stored,
    reversals + CASE WHEN state = 'credited' THEN 1 ELSE 0 END AS computed
FROM blocks
WHERE credits <> reversals + CASE WHEN state = 'credited' THEN 1 ELSE 0 END
    OR (state = 'reversed' AND credits = 0) OR (state NOT IN ('credited', 'reversed') AND credits <> 0)
