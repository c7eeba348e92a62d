//! The rules of a template, without the daemon: when one is needed, what makes one good, which time it carries.
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use chain::{BlockId, HeaderBase, Target, block_reward};
use daemon::{Status, TemplateAnswer};
use messages::facts::Template;
use units::{Difficulty, Height, Timestamp};

use crate::Pace;
use crate::error::TemplateError;

/// The chain takes header times up to two hours ahead of its clock.
const FUTURE_LIMIT_SECS: i64 = 7_200;
/// The daemon takes request bodies up to 1 MiB; a whole block must fit with some room.
pub(crate) const FULL_FORM_MAX_BYTES: usize = 1_000_000;

/// Whether a template is to be fetched. `current` is the present one with its age.
pub(crate) fn needs_template(current: Option<(&Template, Duration)>, status: &Status, pace: &Pace) -> bool {
    let Some((template, age)) = current else { return true };
    let on_tip =
        template.height == status.chain_height.next() && status.is_tip(status.chain_height, &template.prev_hash);
    if !on_tip || age >= pace.max_age {
        return true;
    }
    let other_mempool = match (template.mempool_generation, status.mempool_generation) {
        (Some(before), Some(now)) => before != now,
        _ => false,
    };
    other_mempool && age >= pace.min_age
}

/// Whether an event that names block `this` is news after one that named `last`. Height and id count, nothing else.
pub(crate) fn is_news(last: Option<(Height, BlockId)>, this: (Height, BlockId), same_height_counts: bool) -> bool {
    match last {
        Some((_, id)) if id == this.1 => false, // Our own block is told twice.
        Some((height, _)) if height == this.0 => same_height_counts,
        _ => true,
    }
}

/// The header with a time that the chain can take, and whether it had to be moved; the daemon's own copy does not
/// follow, so a moved template can be submitted in full form only.
pub(crate) fn with_valid_time(
    header: HeaderBase,
    parent_time: i64,
    now: Timestamp,
    block_bytes: usize,
) -> Result<(HeaderBase, bool), TemplateError> {
    if header.timestamp() > parent_time {
        return Ok((header, false));
    }
    let moved = parent_time.saturating_add(1);
    let now_secs = now.ms().div_euclid(1_000);
    if moved > now_secs.saturating_add(FUTURE_LIMIT_SECS) || block_bytes > FULL_FORM_MAX_BYTES {
        return Err(TemplateError::NotYet);
    }
    Ok((header.with_timestamp(moved), true))
}

/// The shared template of the daemon's answer.
pub(crate) fn build(
    answer: TemplateAnswer,
    issuer: usize,
    parent_time: i64,
    pinned: &str,
    local_id: u64,
    now: Timestamp,
) -> Result<Template, TemplateError> {
    if answer.reward_address_used != pinned {
        return Err(TemplateError::ForeignAddress { got: answer.reward_address_used, pinned: pinned.to_owned() });
    }
    let difficulty = answer.header_base.difficulty();
    let network_difficulty = Difficulty::new(difficulty)
        .ok_or_else(|| TemplateError::BadTemplate(format!("difficulty {difficulty} is out of range")))?;
    if answer.target != Target::from_difficulty(network_difficulty) {
        return Err(TemplateError::BadTemplate(format!(
            "target {} is not that of difficulty {difficulty}",
            answer.target
        )));
    }
    let (header_base, moved) = with_valid_time(answer.header_base, parent_time, now, answer.block.get().len())?;
    Ok(Template {
        local_id,
        header_base,
        height: header_base.height(),
        prev_hash: header_base.prev_hash(),
        merkle_root: header_base.merkle_root(),
        network_target: answer.target,
        network_difficulty,
        reward: block_reward(header_base.height()),
        reward_address: answer.reward_address_used,
        daemon_id: answer.template_id.filter(|_| !moved),
        issuer: Some(issuer),
        block: answer.block,
        mempool_generation: answer.mempool_generation,
        fetched_at: now,
        retired_at: OnceLock::new(),
        defined_in: AtomicU64::new(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use chain::HeaderParts;

    fn header(timestamp: i64) -> HeaderBase {
        let zero = chain::Hash32::ZERO;
        HeaderBase::build(&HeaderParts {
            version: 1,
            height: units::Height::new(9),
            prev_hash: chain::BlockId::ZERO,
            merkle_root: zero,
            timestamp,
            difficulty: 4,
        })
    }

    #[test]
    fn a_block_is_news_once_and_another_of_its_height_only_on_demand() {
        let (a, b) = ((Height::new(9), BlockId([1; 32])), (Height::new(9), BlockId([2; 32])));
        let next = (Height::new(10), BlockId([3; 32]));
        assert!(is_news(None, a, false) && is_news(Some(a), next, false) && is_news(Some(next), a, false));
        assert!(!is_news(Some(a), a, true));
        assert!(!is_news(Some(a), b, false) && is_news(Some(a), b, true));
    }

    #[test]
    fn a_time_above_the_parents_is_left_alone() {
        let (kept, moved) = with_valid_time(header(101), 100, Timestamp::from_ms(0), 0).unwrap();
        assert!(!moved && kept == header(101));
    }

    #[test]
    fn a_time_not_above_the_parents_becomes_the_next_second() {
        for time in [99, 100] {
            let (header, moved) = with_valid_time(header(time), 100, Timestamp::from_ms(99_000), 0).unwrap();
            assert!(moved && header.timestamp() == 101);
        }
    }

    #[test]
    fn a_parent_too_far_in_the_future_or_a_block_too_large_is_waited_for() {
        let limit = Timestamp::from_ms(1_000_000);
        assert!(with_valid_time(header(1), 1_000 + 7_199, limit, 0).is_ok());
        assert!(matches!(with_valid_time(header(1), 1_000 + 7_200, limit, 0), Err(TemplateError::NotYet)));
        assert!(matches!(
            with_valid_time(header(1), 1_000, limit, FULL_FORM_MAX_BYTES + 1),
            Err(TemplateError::NotYet)
        ));
    }
}
