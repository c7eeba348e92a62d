//! Figures that all actors, queues and daemons have, read when somebody asks.
use std::sync::Arc;

use instruments::Registry;
use messages::conditions::{ConditionKind, Conditions};
use messages::facts::{DaemonHealth, DaemonState, DaemonsReceiver};
use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;
use runtime::{ActorHandle, Health};

/// A named figure, read on demand.
pub type Figure = Box<dyn Fn() -> u64 + Send + Sync>;

/// Something that holds what waits, and has a bound.
pub struct Queue {
    /// Its name, a label.
    pub name: &'static str,
    /// How much waits.
    pub depth: Figure,
    /// How much may wait.
    pub capacity: u64,
    /// How often something found no place, since the start of the process.
    pub refused: Figure,
}

/// Registers what has labels.
pub struct Metrics {
    meter: Meter,
}

impl Metrics {
    /// They are exported where the registry's are.
    #[must_use]
    pub fn new(registry: &Registry) -> Metrics {
        Metrics { meter: registry.meter().clone() }
    }

    /// Every queue that is no mailbox.
    pub fn queues(&self, queues: Vec<Queue>) {
        let queues = Arc::new(queues);
        let shared = Arc::clone(&queues);
        let _registered = self
            .meter
            .u64_observable_gauge("meshpool_queue_depth")
            .with_description("Items that wait, or bytes where the queue counts bytes, by queue.")
            .with_callback(move |observer| {
                shared
                    .iter()
                    .for_each(|queue| observer.observe((queue.depth)(), &[KeyValue::new("queue", queue.name)]));
            })
            .build();
        let shared = Arc::clone(&queues);
        let _registered = self
            .meter
            .u64_observable_gauge("meshpool_queue_capacity")
            .with_description("Items that may wait, or bytes where the queue counts bytes, by queue.")
            .with_callback(move |observer| {
                shared.iter().for_each(|queue| observer.observe(queue.capacity, &[KeyValue::new("queue", queue.name)]));
            })
            .build();
        let _registered = self
            .meter
            .u64_observable_counter("meshpool_queue_refused")
            .with_description("Items refused because the queue was full, by queue.")
            .with_callback(move |observer| {
                let observe =
                    |queue: &Queue| observer.observe((queue.refused)(), &[KeyValue::new("queue", queue.name)]);
                queues.iter().for_each(observe);
            })
            .build();
    }

    /// 1 for each condition that is so now, 0 for all others.
    pub fn conditions(&self, conditions: &Arc<Conditions>) {
        let conditions = Arc::clone(conditions);
        let _registered = self
            .meter
            .u64_observable_gauge("meshpool_condition")
            .with_description("1 while the condition holds, by condition.")
            .with_callback(move |observer| {
                for kind in ConditionKind::ALL {
                    let label = [KeyValue::new("condition", kind.code())];
                    observer.observe(u64::from(conditions.has(*kind)), &label);
                }
            })
            .build();
    }

    /// Everything that every actor has: depth, capacity, refusals, lost, restarts by cause, generation, health, and
    /// messages with their handling time by kind.
    pub fn actors(&self, ports: &[Arc<dyn ActorHandle>]) {
        self.each(ports, "actor_depth", "Messages accepted and not yet answered.", |port| port.depth() as u64);
        self.each(ports, "actor_capacity", "Messages that may be under way at once.", |port| port.capacity() as u64);
        self.each(ports, "actor_up", "1 while the actor takes messages.", |port| {
            u64::from(port.status().health == Health::Up)
        });
        self.each(ports, "actor_generation", "Starts of the actor, the first included.", |port| {
            port.status().generation
        });
        self.each(
            ports,
            "actor_busy_ms",
            "How long the actor has been handling its current message, in milliseconds; 0 when idle.",
            |port| u64::try_from(port.busy_for().as_millis()).unwrap_or(u64::MAX),
        );
        self.count(
            ports,
            "actor_refused",
            "Messages refused because the mailbox was full or the actor was restarting.",
            |port| port.refused(),
        );
        self.count(ports, "actor_down", "Messages refused because the actor was down.", |port| port.down());
        self.count(ports, "actor_lost", "Messages accepted and never answered.", |port| port.lost());
        self.count(ports, "actor_late", "Answers that were not there when the sender's timeout ended.", |port| {
            port.late()
        });
        self.count(
            ports,
            "actor_ticks_skipped",
            "Clock ticks skipped because the one before was not answered yet or the mailbox was full.",
            |port| port.ticks_skipped(),
        );
        self.restarts(ports);
        self.handled(ports);
    }

    fn each(
        &self,
        ports: &[Arc<dyn ActorHandle>],
        name: &'static str,
        help: &'static str,
        read: fn(&dyn ActorHandle) -> u64,
    ) {
        let ports = ports.to_vec();
        let _registered = self
            .meter
            .u64_observable_gauge(format!("meshpool_{name}"))
            .with_description(help)
            .with_callback(move |observer| {
                for port in &ports {
                    observer.observe(read(port.as_ref()), &[KeyValue::new("actor", port.name())]);
                }
            })
            .build();
    }

    fn count(
        &self,
        ports: &[Arc<dyn ActorHandle>],
        name: &'static str,
        help: &'static str,
        read: fn(&dyn ActorHandle) -> u64,
    ) {
        let ports = ports.to_vec();
        let _registered = self
            .meter
            .u64_observable_counter(format!("meshpool_{name}"))
            .with_description(help)
            .with_callback(move |observer| {
                for port in &ports {
                    observer.observe(read(port.as_ref()), &[KeyValue::new("actor", port.name())]);
                }
            })
            .build();
    }

    /// How each daemon of the list is. Labelled with its place in the list and where it is.
    pub fn daemons(&self, daemons: DaemonsReceiver) {
        type Read = fn(&DaemonHealth) -> u64;
        let gauges: [(&'static str, &'static str, Read); 4] = [
            ("daemon_good", "1 while the daemon answers, is on the best tip and gives usable templates.", |daemon| {
                u64::from(daemon.state == DaemonState::Good)
            }),
            ("daemon_chosen", "1 for the daemon that templates come from.", |daemon| u64::from(daemon.chosen)),
            ("daemon_events_up", "1 while the daemon's event stream is connected.", |daemon| u64::from(daemon.events)),
            ("daemon_height", "Height of the daemon's best block.", |daemon| daemon.height.get()),
        ];
        for (name, help, read) in gauges {
            let daemons = daemons.clone();
            let _registered = self
                .meter
                .u64_observable_gauge(format!("meshpool_{name}"))
                .with_description(help)
                .with_callback(move |observer| {
                    for (place, daemon) in daemons.borrow().iter().enumerate() {
                        let place = KeyValue::new("place", i64::try_from(place).unwrap_or(i64::MAX));
                        let labels = [place, KeyValue::new("daemon", daemon.place.clone())];
                        observer.observe(read(daemon), &labels);
                    }
                })
                .build();
        }
        let _registered = self
            .meter
            .u64_observable_gauge("meshpool_daemon_state")
            .with_description("1 for the state that the daemon is in.")
            .with_callback(move |observer| {
                for daemon in daemons.borrow().iter() {
                    let labels =
                        [KeyValue::new("daemon", daemon.place.clone()), KeyValue::new("state", daemon.state.as_str())];
                    observer.observe(1, &labels);
                }
            })
            .build();
    }

    fn restarts(&self, ports: &[Arc<dyn ActorHandle>]) {
        let ports = ports.to_vec();
        let _registered = self
            .meter
            .u64_observable_counter("meshpool_actor_restarts")
            .with_description("Generations that ended in a failure, by cause.")
            .with_callback(move |observer| {
                for port in &ports {
                    let restarts = port.restarts();
                    let causes =
                        [("faulted", restarts.faulted), ("panicked", restarts.panicked), ("killed", restarts.killed)];
                    for (cause, count) in causes {
                        observer.observe(count, &[KeyValue::new("actor", port.name()), KeyValue::new("cause", cause)]);
                    }
                }
            })
            .build();
    }

    fn handled(&self, ports: &[Arc<dyn ActorHandle>]) {
        let counted = ports.to_vec();
        let _registered = self
            .meter
            .u64_observable_counter("meshpool_actor_handled")
            .with_description("Messages handled, by kind.")
            .with_callback(move |observer| {
                for port in &counted {
                    for handled in port.handled() {
                        let labels = [KeyValue::new("actor", port.name()), KeyValue::new("message", handled.msg)];
                        observer.observe(handled.count, &labels);
                    }
                }
            })
            .build();
        let timed = ports.to_vec();
        let _registered = self
            .meter
            .f64_observable_counter("meshpool_actor_handle_seconds")
            .with_description("Time spent inside handlers, in seconds, by kind of message.")
            .with_callback(move |observer| {
                for port in &timed {
                    for handled in port.handled() {
                        let labels = [KeyValue::new("actor", port.name()), KeyValue::new("message", handled.msg)];
                        observer.observe(handled.total.as_secs_f64(), &labels);
                    }
                }
            })
            .build();
    }
}
