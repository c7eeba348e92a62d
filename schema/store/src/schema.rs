//! The tables, as both migrations make them.

diesel::table! {
    meta (key) {
        key -> Text,
        value -> Text,
    }
}

diesel::table! {
    hosts (id) {
        id -> BigInt,
        name -> Text,
        folded_seq -> BigInt,
        closed_seq -> BigInt,
        registered_at -> BigInt,
        folded_at -> BigInt,
        caught_up_at -> BigInt,
        retired_at -> Nullable<BigInt>,
        opened_at -> BigInt,
        closed_at -> Nullable<BigInt>,
        replaces -> Nullable<BigInt>,
        shares -> BigInt,
        work -> BigInt,
        rejects -> BigInt,
        verified -> BigInt,
        refuted -> BigInt,
        first_share_at -> BigInt,
        last_share_at -> BigInt,
        pruned_shares -> BigInt,
        pruned_work -> BigInt,
        pruned_verified -> BigInt,
        pruned_refuted -> BigInt,
        gone_shares -> BigInt,
        gone_work -> BigInt,
        gone_rejects -> BigInt,
    }
}

diesel::table! {
    miners (id) {
        id -> BigInt,
        address -> Text,
        first_seen_at -> BigInt,
        gone_shares -> BigInt,
        gone_rejects -> BigInt,
        gone_first_at -> Nullable<BigInt>,
        joined_into -> Nullable<BigInt>,
    }
}

diesel::table! {
    worker_identities (id) {
        id -> BigInt,
        host_id -> BigInt,
        miner_id -> BigInt,
        worker -> Text,
        origin -> Binary,
        shares -> BigInt,
        work -> BigInt,
        rejects -> BigInt,
        first_share_at -> BigInt,
        last_share_at -> BigInt,
        pruned_rejects -> BigInt,
    }
}

diesel::table! {
    templates (id) {
        id -> BigInt,
        merkle_root -> Text,
        height -> BigInt,
        prev_hash -> Text,
        header_base -> Binary,
        difficulty -> BigInt,
        reward -> BigInt,
        seen_at -> BigInt,
        policy_id -> Nullable<BigInt>,
    }
}

diesel::table! {
    share_batches (id) {
        id -> BigInt,
        host_id -> BigInt,
        first_seq -> BigInt,
        last_seq -> BigInt,
        shares -> BigInt,
        work -> BigInt,
        first_at -> BigInt,
        last_at -> BigInt,
        digest -> Binary,
        body -> Binary,
        last_minute -> BigInt,
    }
}

diesel::table! {
    segments (identity_id, start_seq) {
        identity_id -> BigInt,
        start_seq -> BigInt,
        last_seq -> BigInt,
        minute -> BigInt,
        shares -> BigInt,
        work -> BigInt,
        total_shares -> BigInt,
        total_work -> BigInt,
        span -> BigInt,
    }
}

diesel::table! {
    verdicts (host_id, share_seq) {
        host_id -> BigInt,
        share_seq -> BigInt,
        identity_id -> BigInt,
        minute -> BigInt,
        difficulty -> BigInt,
        verdict -> Text,
        seq -> BigInt,
    }
}

diesel::table! {
    rejects (identity_id, minute, reason) {
        identity_id -> BigInt,
        minute -> BigInt,
        reason -> Text,
        count -> BigInt,
    }
}

diesel::table! {
    policies (id) {
        id -> BigInt,
        body -> Text,
        created_at -> BigInt,
    }
}

diesel::table! {
    blocks (id) {
        id -> BigInt,
        hash -> Text,
        height -> BigInt,
        state -> Text,
        host_id -> BigInt,
        template_id -> BigInt,
        identity_id -> Nullable<BigInt>,
        nonce -> BigInt,
        share_seq -> BigInt,
        difficulty -> BigInt,
        reward -> BigInt,
        found_at -> BigInt,
        policy_id -> BigInt,
        window_start -> BigInt,
        round_work -> BigInt,
        round_started_at -> BigInt,
        pool_work -> BigInt,
        credits -> BigInt,
        reversals -> BigInt,
        credited_at -> Nullable<BigInt>,
        weights_digest -> Nullable<Text>,
        verdict_seq -> Nullable<BigInt>,
        displaced_at -> Nullable<BigInt>,
        hold_reason -> Nullable<Text>,
        final_at -> Nullable<BigInt>,
        found_as -> Nullable<Text>,
    }
}

diesel::table! {
    block_windows (block_id, host_id) {
        block_id -> BigInt,
        host_id -> BigInt,
        end_seq -> BigInt,
        verdict_seq -> Nullable<BigInt>,
    }
}

diesel::table! {
    block_weights (block_id, miner_id) {
        block_id -> BigInt,
        miner_id -> BigInt,
        verified -> BigInt,
        provisional -> BigInt,
        weight -> BigInt,
        credit -> BigInt,
    }
}

diesel::table! {
    accounts (id) {
        id -> BigInt,
        key -> Text,
        kind -> Text,
        miner_id -> Nullable<BigInt>,
        balance -> BigInt,
        from_blocks -> BigInt,
    }
}

diesel::table! {
    entries (id) {
        id -> BigInt,
        kind -> Text,
        reference -> Text,
        epoch -> BigInt,
        at -> BigInt,
    }
}

diesel::table! {
    postings (id) {
        id -> BigInt,
        entry_id -> BigInt,
        account_id -> BigInt,
        amount -> BigInt,
    }
}

diesel::table! {
    leases (name) {
        name -> Text,
        holder -> Text,
        epoch -> BigInt,
        expires_at -> BigInt,
    }
}

diesel::table! {
    intents (id) {
        id -> Text,
        state -> Text,
        attempt -> BigInt,
        gross -> BigInt,
        recipients -> BigInt,
        fee_expected -> BigInt,
        fee_paid -> Nullable<BigInt>,
        txid -> Nullable<Text>,
        created_at -> BigInt,
        created_height -> BigInt,
        sent_at -> Nullable<BigInt>,
        settled_at -> Nullable<BigInt>,
        absent_since -> Nullable<BigInt>,
        attention -> Nullable<Text>,
        wallet -> Nullable<Text>,
        operator_word -> Nullable<Text>,
        adopted_at -> Nullable<BigInt>,
        reserved_epoch -> Nullable<BigInt>,
    }
}

diesel::table! {
    intent_recipients (intent_id, miner_id) {
        intent_id -> Text,
        miner_id -> BigInt,
        gross -> BigInt,
        net -> BigInt,
    }
}

diesel::table! {
    intent_attempts (intent_id, attempt) {
        intent_id -> Text,
        attempt -> BigInt,
        route -> Text,
        idempotency_key -> Text,
        body -> Binary,
        inputs -> Text,
        created_at -> BigInt,
        created_height -> BigInt,
        outcome -> Nullable<Text>,
        repeated -> BigInt,
    }
}

diesel::table! {
    snapshots (host) {
        host -> Text,
        body -> Text,
        at -> BigInt,
    }
}

diesel::table! {
    vardiff_hints (address, worker) {
        address -> Text,
        worker -> Text,
        origin -> Binary,
        difficulty -> BigInt,
        measured_at -> BigInt,
    }
}

diesel::table! {
    unknown_sends (txid) {
        txid -> Text,
        memo -> Text,
        wallet -> Text,
        sent_at -> BigInt,
        sent_height -> BigInt,
        fee -> BigInt,
        recipients -> Text,
        defect -> Nullable<Text>,
        chain_state -> Text,
        block_height -> Nullable<BigInt>,
        seen_height -> BigInt,
        noted_at -> BigInt,
        noted_height -> BigInt,
        decision -> Nullable<Text>,
        because -> Nullable<Text>,
        decided_at -> Nullable<BigInt>,
        waits_for -> Nullable<Text>,
        booked_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    payout_books (id) {
        id -> BigInt,
        steps -> BigInt,
        steps_ahead -> Nullable<BigInt>,
        read_wallet -> Nullable<Text>,
        read_height -> Nullable<BigInt>,
        read_sends -> Nullable<BigInt>,
        standing -> Nullable<Text>,
    }
}

diesel::table! {
    client_bans (client) {
        client -> Text,
        reason -> Text,
        begun_at -> BigInt,
        ends_at -> BigInt,
        times -> BigInt,
    }
}

diesel::table! {
    penalties (address, origin) {
        address -> Text,
        origin -> Binary,
        reason -> Text,
        strikes -> BigInt,
        struck_at -> BigInt,
        forced_until -> BigInt,
        quarantined_until -> Nullable<BigInt>,
        void_before -> Nullable<BigInt>,
        ends_at -> BigInt,
    }
}

diesel::table! {
    retention_marks (kind) {
        kind -> Text,
        minute -> BigInt,
    }
}

diesel::table! {
    set_aside (id) {
        id -> BigInt,
        host_id -> BigInt,
        kind -> Text,
        seq -> BigInt,
        definition -> Binary,
        why -> Text,
        set_aside_at -> BigInt,
        retry_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    set_aside_records (id) {
        id -> BigInt,
        item_id -> BigInt,
        host_id -> BigInt,
        first_seq -> BigInt,
        last_seq -> BigInt,
        records -> BigInt,
        body -> Binary,
        retried_seq -> Nullable<BigInt>,
        retried_minute -> Nullable<BigInt>,
    }
}

diesel::table! {
    share_days (miner_id, day) {
        miner_id -> BigInt,
        day -> BigInt,
        shares -> BigInt,
        work -> BigInt,
        verified -> BigInt,
        verified_work -> BigInt,
        refuted -> BigInt,
        refuted_work -> BigInt,
    }
}

diesel::table! {
    reject_days (miner_id, day, reason) {
        miner_id -> BigInt,
        day -> BigInt,
        reason -> Text,
        count -> BigInt,
    }
}

diesel::table! {
    payout_days (day) {
        day -> BigInt,
        payouts -> BigInt,
        recipients -> BigInt,
        gross -> BigInt,
        net -> BigInt,
        fee -> BigInt,
        last_sent_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    log_gaps (host_id, first_seq) {
        host_id -> BigInt,
        first_seq -> BigInt,
        last_seq -> BigInt,
        kind -> Text,
        accepted_at -> BigInt,
    }
}

diesel::joinable!(worker_identities -> hosts (host_id));
diesel::joinable!(log_gaps -> hosts (host_id));
diesel::joinable!(worker_identities -> miners (miner_id));
diesel::joinable!(share_batches -> hosts (host_id));
diesel::joinable!(segments -> worker_identities (identity_id));
diesel::joinable!(verdicts -> hosts (host_id));
diesel::joinable!(verdicts -> worker_identities (identity_id));
diesel::joinable!(rejects -> worker_identities (identity_id));
diesel::joinable!(blocks -> hosts (host_id));
diesel::joinable!(blocks -> templates (template_id));
diesel::joinable!(blocks -> worker_identities (identity_id));
diesel::joinable!(blocks -> policies (policy_id));
diesel::joinable!(block_windows -> blocks (block_id));
diesel::joinable!(block_windows -> hosts (host_id));
diesel::joinable!(block_weights -> blocks (block_id));
diesel::joinable!(block_weights -> miners (miner_id));
diesel::joinable!(accounts -> miners (miner_id));
diesel::joinable!(postings -> entries (entry_id));
diesel::joinable!(postings -> accounts (account_id));
diesel::joinable!(intent_recipients -> intents (intent_id));
diesel::joinable!(intent_recipients -> miners (miner_id));
diesel::joinable!(intent_attempts -> intents (intent_id));
diesel::allow_tables_to_appear_in_same_query!(
    meta,
    hosts,
    miners,
    worker_identities,
    templates,
    share_batches,
    segments,
    verdicts,
    rejects,
    policies,
    blocks,
    block_windows,
    block_weights,
    accounts,
    entries,
    postings,
    leases,
    intents,
    intent_recipients,
    intent_attempts,
    snapshots,
    vardiff_hints,
    unknown_sends,
    payout_books,
    client_bans,
    penalties,
    retention_marks,
    set_aside,
    set_aside_records,
    share_days,
    reject_days,
    payout_days,
    log_gaps,
);
