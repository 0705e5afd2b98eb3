//! How much of something heavy runs at once in a process, and of one merchant.

use aggregates::ids::MerchantId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// So many places in all, and so many of them for one merchant.
#[derive(Debug, Clone)]
pub struct Places {
    in_all: usize,
    of_one: usize,
    taken: Arc<Taken>,
}

/// How many are taken, by merchant.
#[derive(Debug, Default)]
struct Taken {
    of: Mutex<HashMap<MerchantId, usize>>,
}

/// A place among those that run; it is free again when this is dropped.
#[derive(Debug)]
pub struct Place {
    taken: Arc<Taken>,
    merchant: MerchantId,
}

impl Places {
    pub fn new(in_all: usize, of_one: usize) -> Self {
        Self {
            in_all,
            of_one,
            taken: Arc::default(),
        }
    }

    /// A place; none where the merchant, or all of them, have enough.
    pub fn take(&self, merchant: &MerchantId) -> Option<Place> {
        let mut of = self.taken.of.lock().unwrap_or_else(PoisonError::into_inner);
        let own = of.get(merchant).copied().unwrap_or(0);
        if own >= self.of_one || of.values().sum::<usize>() >= self.in_all {
            return None;
        }
        of.insert(merchant.clone(), own + 1);
        Some(Place {
            taken: Arc::clone(&self.taken),
            merchant: merchant.clone(),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let of = self.taken.of.lock();
        let mut of = of.unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = of.get_mut(&self.merchant) {
            *own -= 1;
            if *own == 0 {
                of.remove(&self.merchant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merchant_has_a_few_places_leaves_some_to_others_and_gives_each_back() {
        let places = Places::new(6, 3);
        let take = |whose: &str| places.take(&whose.parse().unwrap());
        let own: Vec<_> = (0..3).map(|_| take("acme").unwrap()).collect();
        assert!(take("acme").is_none());
        let others: Vec<_> = (3..6).map(|_| take("rival").unwrap()).collect();
        assert!(take("seedpay").is_none());
        drop(others);
        assert!(take("seedpay").is_some());
        drop(own);
        assert!(take("acme").is_some());
        assert!(places.taken.of.lock().unwrap().is_empty());
    }
}
