//! Says which hosts blocks wait for.
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use messages::conditions::ConditionKind;
use store::hosts::HostRow;
use units::{BlockRowId, Timestamp};

use crate::error::StepError;
use crate::parts::LifecycleParts;

/// A block that waited is looked at again after so long.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// Hosts that a condition names.
const NAMED_MAX: usize = 5;

/// Of one pass: which blocks at credit depth wait, and how many of them for each host.
#[derive(Default)]
pub(crate) struct Awaited {
    blocks: Vec<BlockRowId>,
    hosts: BTreeMap<String, usize>,
    /// Those of this pass and of the one before.
    seen: Vec<BlockRowId>,
    looked: Option<Instant>,
}

impl Awaited {
    /// Begins a pass.
    pub(crate) async fn begin(&mut self, parts: &LifecycleParts, epoch: i64) -> Result<(), StepError> {
        self.look_again(parts, epoch).await?;
        let seen = std::mem::take(&mut self.seen);
        *self = Awaited { seen, looked: Some(Instant::now()), ..Awaited::default() };
        Ok(())
    }

    /// Between two blocks of a pass, every few seconds: a pass with many credits takes long, and what is said must not
    /// outlive the wait.
    pub(crate) async fn continue_work(&mut self, parts: &LifecycleParts, epoch: i64) -> Result<(), StepError> {
        if self.looked.is_none_or(|looked| looked.elapsed() < LOOK_AGAIN) {
            return Ok(());
        }
        self.look_again(parts, epoch).await?;
        self.looked = Some(Instant::now());
        Ok(())
    }

    /// Ends the condition if none of the blocks that were seen to wait does so any more.
    async fn look_again(&mut self, parts: &LifecycleParts, epoch: i64) -> Result<(), StepError> {
        if self.seen.is_empty() {
            return Ok(());
        }
        for block in &self.seen {
            if !parts.store.block_window_close(epoch, *block).await?.is_empty() {
                return Ok(());
            }
        }
        *self = Awaited { looked: self.looked, ..Awaited::default() };
        parts.conditions.clear(ConditionKind::HostsAwaited);
        Ok(())
    }

    /// One block waits for these. The first one of a pass is said at once: a pass over many blocks takes long.
    pub(crate) async fn add(
        &mut self,
        parts: &LifecycleParts,
        block: BlockRowId,
        lagging: &[String],
    ) -> Result<(), StepError> {
        self.blocks.push(block);
        self.seen.push(block);
        for name in lagging {
            *self.hosts.entry(name.clone()).or_default() += 1;
        }
        if self.blocks.len() == 1 && !parts.conditions.has(ConditionKind::HostsAwaited) {
            let known = parts.store.host_overview().await?;
            parts.conditions.put(ConditionKind::HostsAwaited, self.state(&known));
        }
        Ok(())
    }

    /// Sets or clears the conditions; `silent` are hosts that the sweep waits for.
    pub(crate) async fn finish(&mut self, parts: &LifecycleParts, silent: Vec<String>) -> Result<(), StepError> {
        self.seen.clone_from(&self.blocks);
        let known = match self.hosts.is_empty() && silent.is_empty() {
            true => Vec::new(),
            false => parts.store.host_overview().await?,
        };
        parts.conditions.put(ConditionKind::HostsAwaited, self.state(&known));
        let silent = (!silent.is_empty()).then(|| {
            let hosts = silent.iter().map(|name| told(&known, name, None)).collect();
            ("a host is silent: blocks that are found wait for it".to_owned(), detail("blocks will wait for ", hosts))
        });
        parts.conditions.put(ConditionKind::HostSilent, silent);
        Ok(())
    }

    fn state(&self, known: &[HostRow]) -> Option<(String, String)> {
        if self.hosts.is_empty() {
            return None;
        }
        let hosts = self.hosts.iter().map(|(name, blocks)| told(known, name, Some(*blocks))).collect();
        let text = "blocks are not credited: the share log of a host is not folded past their find";
        Some((text.to_owned(), detail(&format!("held: {}, for ", counted(self.blocks.len())), hosts)))
    }
}

fn told(known: &[HostRow], name: &str, blocks: Option<usize>) -> String {
    let heard = known.iter().find(|host| host.name == name).map(HostRow::heard_of);
    let heard = match heard.filter(|at| *at > Timestamp::from_ms(0)) {
        Some(at) => format!("heard of {at}"),
        None => "never heard of".to_owned(),
    };
    match blocks {
        Some(blocks) => format!("{name} ({}, {heard})", counted(blocks)),
        None => format!("{name} ({heard})"),
    }
}

fn counted(blocks: usize) -> String {
    if blocks == 1 { "1 block".to_owned() } else { format!("{blocks} blocks") }
}

fn detail(what: &str, mut hosts: Vec<String>) -> String {
    let more = hosts.len().saturating_sub(NAMED_MAX);
    hosts.truncate(NAMED_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!(
        "{what}{}{more}; start them again with their data directories, or give up those that never come back: \
         meshpool hosts retire NAME",
        hosts.join(", "),
    )
}
