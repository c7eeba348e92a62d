-- Due balances. A miner waits since its oldest credit after its last reservation; without one (a part was left over)
-- since that reservation.
SELECT d.address AS address, d.balance AS balance,
    COALESCE((SELECT e.at FROM postings p JOIN entries e ON e.id = p.entry_id
              WHERE p.account_id = d.id AND p.id > d.reserved AND p.amount > 0 ORDER BY p.id LIMIT 1),
             (SELECT e.at FROM postings p JOIN entries e ON e.id = p.entry_id WHERE p.id = d.reserved), 0) AS since
FROM (SELECT a.id AS id, m.address AS address, a.balance AS balance,
          COALESCE((SELECT p.id FROM postings p JOIN entries e ON e.id = p.entry_id
                    WHERE p.account_id = a.id AND p.amount < 0 AND e.kind = 'payout_reserved'
                    ORDER BY p.id DESC LIMIT 1), 0) AS reserved
      FROM accounts a JOIN miners m ON m.id = a.miner_id WHERE a.kind = 'payable' AND a.balance >= $1) AS d
ORDER BY since, balance DESC, address LIMIT $2
