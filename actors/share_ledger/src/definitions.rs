//! What a file of the log has defined, by the numbers that its records use.
use std::collections::HashMap;

use chain::{Address, HeaderBase, Network};
use store::fold::{IdentityKey, TemplateRow};
use units::Difficulty;

use share_log::record::{IdentityDefinition, Record, TemplateDefinition};

/// Why a record that can be read cannot be attributed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    /// The worker's identity comes first in a sound file.
    #[error("a record refers to line {0}, which the file does not define")]
    UndefinedLine(u32),
    /// So does the template.
    #[error("a record refers to template {0}, which the file does not define")]
    UndefinedTemplate(u32),
    /// No block can be named by it.
    #[error("a template's header has not 92 bytes")]
    HeaderLength,
}

/// What the current file has defined so far.
pub(crate) struct Definitions {
    network: Network,
    lines: HashMap<u32, IdentityKey>,
    templates: HashMap<u32, TemplateRow>,
    /// The first local id of each: what comes into the log again is defined a second time.
    first_lines: HashMap<IdentityKey, u32>,
    first_templates: HashMap<String, u32>,
    /// Local ids of second definitions, and those that they stand for.
    same_lines: HashMap<u32, u32>,
    same_templates: HashMap<u32, u32>,
}

impl Definitions {
    /// Of a file that was not read yet.
    pub(crate) fn new(network: Network) -> Definitions {
        Definitions {
            network,
            lines: HashMap::new(),
            templates: HashMap::new(),
            first_lines: HashMap::new(),
            first_templates: HashMap::new(),
            same_lines: HashMap::new(),
            same_templates: HashMap::new(),
        }
    }

    /// Takes in what a record defines.
    pub(crate) fn note(&mut self, record: &Record<'_>) {
        match record {
            Record::Identity(line) => self.line(line),
            Record::Template(template) => {
                self.template(template.local_id, &template_row(template));
            }
            _ => {}
        }
    }

    pub(crate) fn line(&mut self, line: &IdentityDefinition<'_>) {
        let key = line_key(line, self.network);
        let first = *self.first_lines.entry(key.clone()).or_insert(line.local_id);
        if first == line.local_id {
            self.lines.insert(line.local_id, key);
        } else {
            self.same_lines.insert(line.local_id, first);
        }
    }

    /// The local id that stands for it.
    pub(crate) fn template(&mut self, local_id: u32, row: &TemplateRow) -> u32 {
        let first = *self.first_templates.entry(row.merkle_root.clone()).or_insert(local_id);
        if first == local_id {
            self.templates.insert(local_id, row.clone());
        } else {
            self.same_templates.insert(local_id, first);
        }
        first
    }

    pub(crate) fn first_line(&self, local_id: u32) -> u32 {
        self.same_lines.get(&local_id).copied().unwrap_or(local_id)
    }

    pub(crate) fn first_template(&self, local_id: u32) -> u32 {
        self.same_templates.get(&local_id).copied().unwrap_or(local_id)
    }

    /// What a local id names.
    pub(crate) fn find_line(&self, local_id: u32) -> Option<&IdentityKey> {
        self.lines.get(&self.first_line(local_id))
    }

    /// See [`Definitions::find_line`].
    pub(crate) fn find_template(&self, local_id: u32) -> Option<&TemplateRow> {
        self.templates.get(&self.first_template(local_id))
    }
}

/// Older programs logged addresses as they were given.
fn line_key(line: &IdentityDefinition<'_>, network: Network) -> IdentityKey {
    let address = Address::account_text(line.address, &network).into_owned();
    IdentityKey { address, worker: line.worker.into(), origin: line.origin }
}

pub(crate) fn template_row(template: &TemplateDefinition<'_>) -> TemplateRow {
    let header = HeaderBase::from_bytes(*template.header_base);
    TemplateRow {
        merkle_root: header.merkle_root().to_string(),
        height: header.height(),
        prev_hash: header.prev_hash().to_string(),
        header_base: template.header_base.to_vec(),
        difficulty: Difficulty::new(header.difficulty()).unwrap_or(Difficulty::MAX),
        reward: template.reward,
        seen_at: template.fetched_at,
    }
}
