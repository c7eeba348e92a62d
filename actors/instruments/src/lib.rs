//! Instruments, as OpenTelemetry calls them: numbers that any thread may write, and the registry that exports them.
//!
//! Each crate has a struct of its own for what it counts, made by [`metrics!`] in its `metrics.rs`: a field's name is the
//! metric's name, and its documentation is the help text of `/metrics`. A host registers the struct once, before the
//! crate's actor starts, and hands it in; so a new metric concerns its crate and the hosts, and nobody else.
//!
//! A clone of a number is the same number: who shows the number of another crate is given a clone of it. `Default` makes
//! numbers that are exported nowhere, for tests and for roles that a process does not have.
#![warn(missing_docs)]

mod histogram;
mod numbers;
mod registry;

pub use histogram::Histogram;
pub use numbers::{Counter, Gauge};
pub use registry::Registry;

/// Makes a crate's struct of metrics, with `register`, which exports them all.
///
/// A field's type is [`Counter`] (its name ends in `_total`), [`Gauge`], [`Histogram`] with its bounds in seconds, or a
/// type of the crate's own that has a `register(&Registry, name, help)` as these have.
///
/// ```
/// use instruments::{Counter, Gauge, Histogram};
///
/// const BOUNDS: [f64; 2] = [0.1, 1.0];
///
/// instruments::metrics! {
///     /// Metrics of the mill.
///     pub struct MillMetrics {
///         /// Sacks of flour.
///         sacks_total: Counter,
///         /// Millers at work (gauge).
///         millers: Gauge,
///         /// From the grain's arrival to its flour.
///         milling_seconds: Histogram(&BOUNDS),
///     }
/// }
///
/// let metrics = MillMetrics::default();
/// metrics.sacks_total.add(2);
/// assert_eq!(metrics.sacks_total.get(), 2);
/// ```
#[macro_export]
macro_rules! metrics {
    ($(#[$about:meta])* $vis:vis struct $Name:ident {
        $($(#[doc = $help:literal])+ $name:ident: $Kind:ident $(($($option:expr),+))?),* $(,)?
    }) => {
        $(#[$about])*
        #[derive(Debug, Default)]
        $vis struct $Name {
            $($(#[doc = $help])+ pub $name: $Kind,)*
        }

        impl $Name {
            /// Exports them from now on. Once for each registry: what is registered twice is exported twice.
            #[must_use]
            pub fn register(registry: &$crate::Registry) -> Self {
                $Name {
                    $($name: $Kind::register(
                        registry,
                        stringify!($name),
                        concat!($($help),+).trim_ascii(),
                        $($($option),+)?
                    ),)*
                }
            }
        }
    };
}
