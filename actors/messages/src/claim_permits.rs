//! How many block claims may wait for their check.
//!
//! Whatever hash is invented, it can be one below the network's target: a claim costs nothing. So its place is taken
//! before the share is acknowledged, and who finds none is told so; an acknowledged claim is never forgone.
//!
//! A pair that is trusted has places of its own, so that no flood keeps a real block out.
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::facts::{Origin, TrustKey};

/// Unjudged block claims of a process, from before the acknowledgement to the verdict.
#[derive(Debug, Default)]
pub struct ClaimPermits {
    taken: Mutex<ClaimsInFlight>,
}

#[derive(Debug, Default)]
struct ClaimsInFlight {
    /// In common places.
    all: usize,
    pairs: HashMap<TrustKey, usize>,
    origins: HashMap<Origin, usize>,
    /// Trusted pairs, and how many of its own places each has taken.
    trusted: HashMap<TrustKey, usize>,
    in_own_places: usize,
}

/// One claim's place. Dropping it gives it back.
#[derive(Debug)]
pub struct ClaimPermit {
    of: Arc<ClaimPermits>,
    pair: TrustKey,
    is_own: bool,
}

impl ClaimPermits {
    /// Common places.
    pub const MAX: usize = 4096;
    /// Beyond so many only an origin that has none gets a place: a flood from few origins keeps nobody out.
    pub const COMMON_MAX: usize = 3072;
    /// Common places of one pair.
    pub const PAIR_MAX: usize = 64;
    /// Common places of one origin.
    pub const ORIGIN_MAX: usize = 256;
    /// Places of each trusted pair that nobody else can take: while one claim is checked, the next one has a place too.
    pub const OWN_MAX: usize = 2;

    fn taken(&self) -> MutexGuard<'_, ClaimsInFlight> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place, if there is one for this pair.
    #[must_use]
    pub fn take(self: &Arc<Self>, pair: &TrustKey) -> Option<ClaimPermit> {
        let mut guard = self.taken();
        let taken = &mut *guard;
        if let Some(own) = taken.trusted.get_mut(pair).filter(|own| **own < Self::OWN_MAX) {
            *own += 1;
            taken.in_own_places += 1;
            return Some(self.permit(pair, true));
        }
        let of_pair = taken.pairs.get(pair).copied().unwrap_or(0);
        let of_origin = taken.origins.get(&pair.1).copied().unwrap_or(0);
        let max = if of_origin == 0 { Self::MAX } else { Self::COMMON_MAX };
        if taken.all >= max || of_pair >= Self::PAIR_MAX || of_origin >= Self::ORIGIN_MAX {
            return None;
        }
        taken.all += 1;
        taken.pairs.insert(pair.clone(), of_pair + 1);
        taken.origins.insert(pair.1, of_origin + 1);
        Some(self.permit(pair, false))
    }

    fn permit(self: &Arc<Self>, pair: &TrustKey, is_own: bool) -> ClaimPermit {
        ClaimPermit { of: Arc::clone(self), pair: pair.clone(), is_own }
    }

    /// These pairs are trusted, and no others.
    pub fn trust_only(&self, pairs: impl Iterator<Item = TrustKey>) {
        let mut taken = self.taken();
        let before = std::mem::take(&mut taken.trusted);
        taken.trusted.extend(pairs.map(|pair| {
            let own = before.get(&pair).copied().unwrap_or(0);
            (pair, own)
        }));
    }

    /// From now on this pair has places of its own.
    pub fn trust(&self, pair: &TrustKey) {
        self.taken().trusted.entry(pair.clone()).or_default();
    }

    /// It has none any more. What it holds it keeps.
    pub fn distrust(&self, pair: &TrustKey) {
        self.taken().trusted.remove(pair);
    }

    /// Places that are taken.
    #[must_use]
    pub fn depth(&self) -> usize {
        let taken = self.taken();
        taken.all + taken.in_own_places
    }
}

impl Drop for ClaimPermit {
    fn drop(&mut self) {
        let mut taken = self.of.taken();
        if self.is_own {
            taken.in_own_places -= 1;
            if let Some(own) = taken.trusted.get_mut(&self.pair) {
                *own = own.saturating_sub(1);
            }
            return;
        }
        taken.all -= 1;
        less(&mut taken.pairs, &self.pair);
        less(&mut taken.origins, &self.pair.1);
    }
}

fn less<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(address: usize, origin: usize) -> TrustKey {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&origin.to_le_bytes());
        (address.to_string().into(), Origin(bytes))
    }

    #[test]
    fn a_pair_and_an_origin_have_a_bounded_number_of_places_and_get_them_back() {
        let places = Arc::new(ClaimPermits::default());
        let mut held: Vec<_> = std::iter::from_fn(|| places.take(&pair(1, 1))).collect();
        assert_eq!(held.len(), ClaimPermits::PAIR_MAX);
        held.extend((2..).map_while(|address| places.take(&pair(address, 1))));
        assert_eq!(held.len(), ClaimPermits::ORIGIN_MAX);
        assert!(places.take(&pair(1, 2)).is_some(), "the same address elsewhere is another pair");
        held.pop();
        assert!(places.take(&pair(9999, 1)).is_some());
        drop(held);
        let taken = places.taken();
        assert_eq!((taken.all, taken.pairs.len(), taken.origins.len()), (0, 0, 0));
    }

    #[test]
    fn a_flood_from_few_origins_leaves_places_for_everybody_else() {
        let places = Arc::new(ClaimPermits::default());
        let mut held = Vec::new();
        for origin in 0..100 {
            held.extend((0..).map_while(|address| places.take(&pair(address, origin))));
        }
        assert!(held.len() >= ClaimPermits::COMMON_MAX && held.len() < ClaimPermits::COMMON_MAX + 100);
        let honest = places.take(&pair(0, 5000));
        assert!(honest.is_some() && places.take(&pair(0, 5000)).is_none());
        held.extend((6000..).map_while(|origin| places.take(&pair(0, origin))));
        assert_eq!(places.depth(), ClaimPermits::MAX);
    }

    #[test]
    fn a_flood_from_a_thousand_origins_leaves_every_trusted_pair_its_places() {
        let places = Arc::new(ClaimPermits::default());
        places.trust(&pair(1, 9000));
        places.trust(&pair(2, 9001));
        let mut flood = Vec::new();
        for origin in 0..1100 {
            flood.extend((0..4).filter_map(|address| places.take(&pair(address, origin))));
        }
        flood.extend((2000..8000).map_while(|origin| places.take(&pair(0, origin))));
        assert_eq!(places.depth(), ClaimPermits::MAX);
        assert!(places.take(&pair(1, 9002)).is_none(), "the same address elsewhere is not trusted");
        let own: Vec<_> = std::iter::from_fn(|| places.take(&pair(1, 9000))).collect();
        assert_eq!((own.len(), places.depth()), (ClaimPermits::OWN_MAX, ClaimPermits::MAX + ClaimPermits::OWN_MAX));
        assert!(places.take(&pair(2, 9001)).is_some(), "what one trusted pair takes is no other's");
        drop(own);
        assert!(places.take(&pair(1, 9000)).is_some(), "it is judged, and the place is free again");
    }

    #[test]
    fn who_loses_trust_waits_with_all_others() {
        let places = Arc::new(ClaimPermits::default());
        places.trust_only([pair(1, 1), pair(2, 2)].into_iter());
        let held = places.take(&pair(1, 1));
        places.trust_only([pair(1, 1)].into_iter());
        let flood: Vec<_> = (100..).map_while(|origin| places.take(&pair(0, origin))).collect();
        assert!(places.take(&pair(2, 2)).is_none());
        assert!(places.take(&pair(1, 1)).is_some_and(|_| places.depth() == flood.len() + 2));
        places.distrust(&pair(1, 1));
        assert!(places.take(&pair(1, 1)).is_none());
        drop((held, flood));
        assert_eq!(places.depth(), 0);
    }
}
