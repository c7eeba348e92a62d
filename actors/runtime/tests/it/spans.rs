//! A message is handled inside a span that knows where it came from.
use std::collections::HashMap;
use std::fmt;
use std::sync::{LazyLock, Mutex};

use runtime::{ActorRef, Host};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Instrument, Subscriber, info_span};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry};

use super::*;

/// Spans by id: what they are called, whose child they are, whom they follow.
#[derive(Debug, Default, Clone)]
struct SpanSeen {
    title: String,
    parent: Option<u64>,
    follows: Option<u64>,
}

static SEEN: LazyLock<Mutex<HashMap<u64, SpanSeen>>> = LazyLock::new(Mutex::default);

struct Title(String);

impl Visit for Title {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.push_str(&format!(" {}={value:?}", field.name()));
    }
}

struct Spy;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spy {
    fn on_new_span(&self, attrs: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        let mut title = Title(attrs.metadata().name().to_owned());
        attrs.record(&mut title);
        let parent = ctx.span(id).and_then(|span| span.parent()).map(|span| span.id().into_u64());
        SEEN.lock().unwrap().insert(id.into_u64(), SpanSeen { title: title.0, parent, follows: None });
    }

    fn on_follows_from(&self, span: &Id, follows: &Id, _: Context<'_, S>) {
        SEEN.lock().unwrap().entry(span.into_u64()).or_default().follows = Some(follows.into_u64());
    }
}

struct Head(Recipient<Tail>);
struct End;

messages! {
    Tail => (), "span_tail", urgent: false;
    Note => (), "span_note", urgent: false;
}

impl Actor for Head {
    const NAME: &'static str = "head";
}

impl Actor for End {
    const NAME: &'static str = "end";
}

impl Handler<Note> for Head {
    async fn handle(&mut self, _: Note, reply: Reply<Note>) -> Result<(), Fault> {
        let next = self.0.clone();
        continue_with(reply, async move { next.ask(Tail, SOON).await.unwrap() });
        Ok(())
    }
}

impl Handler<Tail> for End {
    async fn handle(&mut self, _: Tail, reply: Reply<Tail>) -> Result<(), Fault> {
        reply.send(());
        Ok(())
    }
}

#[test]
fn an_asked_message_is_a_child_and_a_told_one_follows() {
    tracing::subscriber::set_global_default(Registry::default().with(Spy)).unwrap();
    runtime::block_on(async {
        let (head, end) = (ActorRef::unbound(ROOM), ActorRef::unbound(ROOM));
        let mut host = Host::default();
        host.start(&end, POLICY, || End);
        let next = end.recipient();
        host.start(&head, POLICY, move || Head(next.clone()));
        soon(head.wait_up()).await;
        soon(end.wait_up()).await;
        let asker = info_span!("asker");
        let asker_id = asker.id().unwrap().into_u64();
        head.ask(Note, SOON).instrument(asker).await.unwrap();
        let teller = info_span!("teller");
        let teller_id = teller.id().unwrap().into_u64();
        teller.in_scope(|| head.tell(Note)).unwrap();
        soon(head.wait_drained()).await;
        drop(teller);

        let seen = SEEN.lock().unwrap().clone();
        let named = |title: &str| -> Vec<(u64, SpanSeen)> {
            seen.iter().filter(|(_, span)| span.title == title).map(|(id, span)| (*id, span.clone())).collect()
        };
        let notes = named("handle actor=\"head\" msg=\"span_note\"");
        let tails = named("handle actor=\"end\" msg=\"span_tail\"");
        assert_eq!((notes.len(), tails.len()), (2, 2));
        let asked = notes.iter().find(|(_, span)| span.parent == Some(asker_id)).expect("a child of its asker");
        let told = notes.iter().find(|(_, span)| span.parent.is_none()).expect("a beginning");
        assert_eq!((asked.1.follows, told.1.follows), (None, Some(teller_id)));
        for (note, _) in [asked, told] {
            assert!(tails.iter().any(|(_, tail)| tail.parent == Some(*note)), "carried work stays in the span");
        }
    });
}
