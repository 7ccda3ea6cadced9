//! A bounded queue that serves tenants in turn, so that the flood of one does not starve the others. No threads, no time.

use std::collections::VecDeque;

use kernel::Tenant;

/// What waits, one lane a tenant. Lanes take turns; within a lane the first comes first.
#[derive(Debug)]
pub(super) struct Queue<T> {
    /// Never an empty lane.
    lanes: VecDeque<Lane<T>>,
    length: usize,
    capacity: usize,
}

#[derive(Debug)]
struct Lane<T> {
    tenant: Tenant,
    items: VecDeque<T>,
}

impl<T> Queue<T> {
    /// An empty queue for at most `capacity` items.
    pub(super) fn new(capacity: usize) -> Self {
        Self { lanes: VecDeque::new(), length: 0, capacity }
    }

    /// How many items wait.
    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// How many items would be served before the next one of this tenant.
    pub(super) fn ahead(&self, tenant: &Tenant) -> usize {
        let at = self.lanes.iter().position(|lane| lane.tenant == *tenant);
        let (at, own) = at.map_or((self.lanes.len(), 0), |at| (at, self.lanes[at].items.len()));
        let others = self.lanes.iter().enumerate().filter(|(other, _)| *other != at);
        // A lane that stands before mine has one turn more than mine until then.
        own + others.map(|(other, lane)| lane.items.len().min(own + usize::from(other < at))).sum::<usize>()
    }

    /// Adds an item. When the queue is full, room is made by the newest item of the longest lane, if that is longer than
    /// this tenant's would be. Answers the item that had to go for it, if any; or this one as the error, when there is no room.
    pub(super) fn push(&mut self, tenant: &Tenant, item: T) -> Result<Option<T>, T> {
        let mut displaced = None;
        if self.length >= self.capacity {
            let own = self.lane(tenant).map_or(0, |lane| lane.items.len());
            let longest = self.lanes.iter_mut().max_by_key(|lane| lane.items.len()).filter(|lane| lane.items.len() > own + 1);
            displaced = longest.and_then(|lane| lane.items.pop_back());
            if displaced.is_none() {
                return Err(item);
            }
            self.length -= 1;
        }
        self.length += 1;
        match self.lane(tenant) {
            Some(lane) => lane.items.push_back(item),
            None => self.lanes.push_back(Lane { tenant: tenant.clone(), items: VecDeque::from([item]) }),
        }
        Ok(displaced)
    }

    /// The next item in turn.
    pub(super) fn pop(&mut self) -> Option<T> {
        let mut lane = self.lanes.pop_front()?;
        let item = lane.items.pop_front();
        self.length -= usize::from(item.is_some());
        if !lane.items.is_empty() {
            self.lanes.push_back(lane);
        }
        item
    }

    fn lane(&mut self, tenant: &Tenant) -> Option<&mut Lane<T>> {
        self.lanes.iter_mut().find(|lane| lane.tenant == *tenant)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn tenant(n: usize) -> Tenant {
        Tenant::parse(&format!("app-{n}")).unwrap()
    }

    fn drained(mut queue: Queue<(usize, usize)>) -> Vec<(usize, usize)> {
        std::iter::from_fn(move || queue.pop()).collect()
    }

    #[test]
    fn tenants_take_turns() {
        let mut queue = Queue::new(10);
        for item in [(1, 0), (1, 1), (1, 2), (2, 0), (3, 0), (2, 1)] {
            assert_eq!(queue.push(&tenant(item.0), item), Ok(None));
        }
        assert_eq!(drained(queue), [(1, 0), (2, 0), (3, 0), (1, 1), (2, 1), (1, 2)]);
    }

    #[test]
    fn a_flood_fills_its_own_lane_only() {
        let mut queue = Queue::new(8);
        for n in 0..8 {
            assert_eq!(queue.push(&tenant(1), (1, n)), Ok(None));
        }
        assert_eq!(queue.push(&tenant(1), (1, 8)), Err((1, 8)), "its own next is refused");
        assert_eq!(queue.push(&tenant(2), (2, 0)), Ok(Some((1, 7))), "another's is taken in its place");
        assert_eq!(queue.length, 8);
        assert_eq!(drained(queue)[..3], [(1, 0), (2, 0), (1, 1)]);
    }

    #[test]
    fn nobody_is_displaced_for_an_equal() {
        let mut queue = Queue::new(2);
        queue.push(&tenant(1), (1, 0)).unwrap();
        queue.push(&tenant(2), (2, 0)).unwrap();
        assert_eq!(queue.push(&tenant(3), (3, 0)), Err((3, 0)));
        assert_eq!(queue.push(&tenant(1), (1, 1)), Err((1, 1)));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_the_place_is_foretold(steps in prop::collection::vec((0_usize..6, any::<bool>()), 1..120)) {
            let mut queue = Queue::new(16);
            let (mut given, mut back) = (0, 0);
            for (n, (lane, pops)) in steps.into_iter().enumerate() {
                if pops {
                    back += usize::from(queue.pop().is_some());
                    continue;
                }
                given += 1;
                let foretold = queue.ahead(&tenant(lane));
                let pushed = queue.push(&tenant(lane), (lane, n));
                back += usize::from(pushed != Ok(None));
                if pushed == Ok(None) {
                    let copy = Queue { lanes: queue.lanes.iter().map(|lane| Lane { tenant: lane.tenant.clone(), items: lane.items.clone() }).collect(), ..queue };
                    let place = drained(copy).iter().position(|item| *item == (lane, n));
                    prop_assert_eq!(place, Some(foretold));
                }
                prop_assert!(queue.length <= 16);
            }
            prop_assert_eq!(given, back + drained(queue).len());
        }
    }
}
