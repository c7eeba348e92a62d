DROP TABLE snapshots, intent_attempts, intent_lines, intents, leases, postings, entries, accounts, block_weights,
    block_windows, blocks, policies, rejects, verdicts, segments, share_batches, templates, lines, miners, hosts, meta;
DROP FUNCTION ledger_is_append_only;
