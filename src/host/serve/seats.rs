//! Seats for connections: as many as there may be at a time.
//!
//! Whoever connects may stay as long as he likes, and ask for nothing. So when all seats are taken and somebody new comes, the
//! connection that has been idle for longest has to leave.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::host::lock;

/// A connection has to be idle for so long before it is sent away: the next request may be on its way.
const GRACE: Duration = Duration::from_millis(100);

/// How often somebody who waits for a seat looks for another one that is idle.
const RETRY: Duration = Duration::from_millis(20);

/// All seats.
#[derive(Debug)]
pub(super) struct Seats {
    free: Arc<Semaphore>,
    idle: Mutex<IdleSeats>,
}

/// The seats of idle connections, in the order in which these became so.
#[derive(Debug, Default)]
struct IdleSeats {
    next: u64,
    by_number: BTreeMap<u64, (Instant, Arc<Notify>)>,
}

impl Seats {
    pub(super) fn new(number: usize) -> Arc<Self> {
        let free = Arc::new(Semaphore::new(number.min(Semaphore::MAX_PERMITS)));
        Arc::new(Self { free, idle: Mutex::default() })
    }

    /// Takes a seat for a connection that is there; waits for one.
    pub(super) async fn take(self: &Arc<Self>) -> Seat {
        loop {
            if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
                return Seat::new(self, Some(permit));
            }
            self.send_one_away();
            let free = Arc::clone(&self.free).acquire_owned();
            if let Ok(permit) = tokio::time::timeout(RETRY, free).await {
                return Seat::new(self, permit.ok());
            }
        }
    }

    /// Has the connection leave that has been idle for longest, if any has been for long enough.
    pub(super) fn send_one_away(&self) {
        let mut idle = lock(&self.idle);
        if let Some(first) = idle.by_number.first_entry()
            && first.get().0.elapsed() >= GRACE
        {
            first.remove().1.notify_one();
        }
    }

    fn sit_idle(&self, leave: &Arc<Notify>) -> u64 {
        let mut idle = lock(&self.idle);
        idle.next += 1;
        let number = idle.next;
        idle.by_number.insert(number, (Instant::now(), Arc::clone(leave)));
        number
    }
}

/// The seat of one connection, idle at first.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    leave: Arc<Notify>,
    state: Mutex<SeatState>,
    _permit: Option<OwnedSemaphorePermit>,
}

#[derive(Debug)]
struct SeatState {
    /// Requests that are being answered.
    busy: usize,
    /// The number among the idle ones.
    number: u64,
}

impl Seat {
    fn new(seats: &Arc<Seats>, permit: Option<OwnedSemaphorePermit>) -> Self {
        let leave = Arc::new(Notify::new());
        let state = Mutex::new(SeatState { busy: 0, number: seats.sit_idle(&leave) });
        Self { seats: Arc::clone(seats), leave, state, _permit: permit }
    }

    /// A request begins; it is over when the result is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        let mut state = lock(&self.state);
        state.busy += 1;
        lock(&self.seats.idle).by_number.remove(&state.number);
        Busy(Arc::clone(self))
    }

    /// Waits until somebody else needs the seat.
    pub(super) async fn is_needed(&self) {
        self.leave.notified().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let number = lock(&self.state).number;
        lock(&self.seats.idle).by_number.remove(&number);
    }
}

/// A request is being answered, and its connection stays.
#[derive(Debug)]
pub(super) struct Busy(Arc<Seat>);

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.busy -= 1;
        if state.busy == 0 {
            state.number = self.0.seats.sit_idle(&self.0.leave);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_has_been_idle_for_longest_leaves() {
        let seats = Seats::new(3);
        let (first, second, third) = (seats.take().await, Arc::new(seats.take().await), seats.take().await);
        let busy = second.begin();
        drop(third);
        let third = seats.take().await;
        let leave = async move {
            first.is_needed().await;
            drop(first);
        };
        let ((), new) = tokio::join!(leave, seats.take());
        // The next are `third` and `new`, and not who is busy.
        assert_eq!(lock(&seats.idle).by_number.len(), 2);
        drop(busy);
        assert_eq!(lock(&seats.idle).by_number.len(), 3);
        drop((second, third, new));
        assert!(lock(&seats.idle).by_number.is_empty());
        assert_eq!(seats.free.available_permits(), 3);
    }
}
