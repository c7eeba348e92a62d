//! Several daemons: which one is followed, how the others are, and what operators are told of them.
use std::rc::Rc;

use messages::facts::DaemonHealth;
use runtime::{Task, spawn};
use tokio::time::Instant;
use tracing::{debug, error, warn};

use crate::error::TemplateError;
use crate::follow::Follower;

impl Follower {
    /// Asks the others how they are, without waiting for them.
    pub(crate) fn peek_at_others(self: &Rc<Self>) {
        let chosen = self.choice.borrow().chosen();
        for (place, node) in self.nodes.iter().enumerate().filter(|(place, _)| *place != chosen) {
            let mut peek = node.peek.borrow_mut();
            if peek.as_ref().is_none_or(Task::is_finished) {
                let this = Rc::clone(self);
                *peek = Some(spawn(async move {
                    if let Err(error) = this.status(place).await {
                        debug!(%error, "a daemon to fall back to does not answer");
                    }
                    this.tell_health();
                }));
            }
        }
    }

    pub(crate) fn choose(&self) -> usize {
        let mut choice = self.choice.borrow_mut();
        let before = choice.chosen();
        let now = Instant::now();
        let chosen = choice.choose(now, self.parts.published.best().map_or(0, |best| best.work));
        if chosen != before {
            let place = |place: usize| self.nodes[place].client.place();
            warn!(
                from = place(before),
                why = choice.state(before, now).as_str(),
                to = place(chosen),
                "daemon switched"
            );
            self.parts.metrics.daemon_switches_total.add(1);
        }
        chosen
    }

    /// A daemon that gives no usable template is not the one to follow, if there is another.
    pub(crate) fn blame(&self, place: usize, trouble: &TemplateError) {
        if matches!(trouble, TemplateError::ForeignAddress { .. }) {
            self.parts.metrics.templates_foreign_total.add(1);
        }
        let mut choice = self.choice.borrow_mut();
        // One that does not answer at all is left for that alone.
        if let Some(state) = trouble.blames_daemon().filter(|_| choice.answers(place)) {
            choice.gave_none(place, state, Instant::now());
        }
        drop(choice);
        if self.nodes.len() > 1 {
            let daemon = self.nodes[place].client.place();
            match trouble.is_serious() {
                true => error!(daemon, "no template: {trouble}"),
                false => debug!(daemon, "no template: {trouble}"),
            }
        }
    }

    pub(crate) fn tell_health(&self) {
        let (choice, now) = (self.choice.borrow(), Instant::now());
        let health = self.nodes.iter().enumerate().map(|(place, node)| DaemonHealth {
            place: node.client.place().to_owned(),
            chosen: place == choice.chosen(),
            state: choice.state(place, now),
            height: choice.height(place),
            events: node.events.get(),
            wallet_shut: node.wallet.is_shut(),
        });
        self.parts.published.set_daemons(health.collect());
    }
}
