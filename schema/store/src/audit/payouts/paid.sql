-- What payouts sent in all, where the books say something else. Of the payouts whose rows are gone, the sums stay.
SELECT 'all payouts' AS subject, CAST(s.listed + s.summed AS BIGINT) AS stored, CAST(s.books AS BIGINT) AS computed
FROM (
    SELECT
        (
            SELECT COALESCE(SUM(r.net), 0) FROM intent_recipients r JOIN intents i ON i.id = r.intent_id
            WHERE i.state = 'settled'
        ) AS listed,
        (SELECT COALESCE(SUM(net), 0) FROM payout_days) AS summed,
        (
            SELECT COALESCE(SUM(p.amount), 0)
            FROM entries e JOIN postings p ON p.entry_id = e.id JOIN accounts a ON a.id = p.account_id
            WHERE e.kind = 'payout_settled' AND a.kind = 'paid_out'
        ) AS books
) AS s
WHERE s.listed + s.summed <> s.books
