//! What every binary does before and after its actors run: exit codes, logs, traces, metrics, signals, and the service
//! manager.
//!
//! What it refuses to do: know an actor. It exports the figures of any of them through `runtime::ActorHandle`.
#![warn(missing_docs)]

mod exit;
mod log;
mod metrics;
mod service_notifier;
mod signals;
mod sockets;
mod telemetry;
mod traces;

pub use exit::{CONFIG, DATABASE, GRACE, STOP_MAX, SUPERVISOR};
pub use log::Log;
pub use metrics::{Figure, Metrics, Queue};
pub use service_notifier::ServiceNotifier;
pub use signals::Shutdown;
pub use sockets::{ListenError, listeners};
pub use telemetry::{Telemetry, TelemetryError};
