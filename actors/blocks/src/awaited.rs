//! Says which hosts blocks wait for.
use std::collections::BTreeMap;

use messages::conditions::ConditionKind;
use store::hosts::HostRow;
use units::Timestamp;

use crate::lifecycle::{LifecycleParts, StepError};

/// Hosts that a condition names.
const NAMED_MAX: usize = 5;

/// Of one pass: how many blocks at credit depth wait for each host.
#[derive(Default)]
pub(crate) struct Awaited {
    blocks: usize,
    hosts: BTreeMap<String, usize>,
}

impl Awaited {
    pub(crate) fn begin(&mut self) {
        *self = Awaited::default();
    }

    /// One block waits for these.
    pub(crate) fn add(&mut self, lagging: &[String]) {
        self.blocks += 1;
        for name in lagging {
            *self.hosts.entry(name.clone()).or_default() += 1;
        }
    }

    /// Sets or clears the conditions; `silent` are hosts that the sweep waits for.
    pub(crate) async fn finish(&self, parts: &LifecycleParts, silent: Vec<String>) -> Result<(), StepError> {
        let known = match self.hosts.is_empty() && silent.is_empty() {
            true => Vec::new(),
            false => parts.store.host_overview().await?,
        };
        let awaited = (!self.hosts.is_empty()).then(|| {
            let hosts: Vec<_> = self.hosts.iter().map(|(name, blocks)| told(&known, name, Some(*blocks))).collect();
            let text = "blocks are not credited: the share log of another host is not folded past their find";
            (text.to_owned(), detail(&format!("blocks that wait: {}; for ", self.blocks), hosts))
        });
        parts.conditions.put(ConditionKind::HostsAwaited, awaited);
        let silent = (!silent.is_empty()).then(|| {
            let hosts = silent.iter().map(|name| told(&known, name, None)).collect();
            ("a host is silent: blocks that are found wait for it".to_owned(), detail("blocks will wait for ", hosts))
        });
        parts.conditions.put(ConditionKind::HostSilent, silent);
        Ok(())
    }
}

fn told(known: &[HostRow], name: &str, blocks: Option<usize>) -> String {
    let heard = known.iter().find(|host| host.name == name).map(HostRow::heard_of);
    let heard = match heard.filter(|at| *at > Timestamp::from_ms(0)) {
        Some(at) => format!("heard of {at}"),
        None => "never heard of".to_owned(),
    };
    match blocks {
        Some(1) => format!("{name} (1 block, {heard})"),
        Some(blocks) => format!("{name} ({blocks} blocks, {heard})"),
        None => format!("{name} ({heard})"),
    }
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
