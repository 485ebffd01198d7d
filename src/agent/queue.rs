//! The queue of domains that are to be looked at: each once, the earliest wish wins, never two runs of one domain at a
//! time, and growing pauses after failures.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

/// The pause after a first failure: long enough for a daemon to restart.
pub(super) const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// The longest pause: what a person repaired is found within it.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// A pause that doubles with each failure in a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Backoff {
    failures: u32,
    until: Option<Instant>,
}

impl Backoff {
    /// Notes a failure, and returns the end of the pause.
    pub(super) fn failed(&mut self, now: Instant) -> Instant {
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(16)).min(LONGEST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        let until = now + pause;
        self.until = Some(until);
        until
    }

    /// Failures in a row.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// The end of the last pause, over or not.
    pub(super) fn end(&self) -> Option<Instant> {
        self.until
    }

    /// The end of the pause, while there is one.
    pub(super) fn until(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|until| *until > now)
    }
}

/// What the queue knows of one key.
#[derive(Debug, Default)]
struct Entry {
    /// When it is to be looked at.
    wanted: Option<Instant>,
    running: bool,
    backoff: Backoff,
}

impl Entry {
    fn is_idle(&self) -> bool {
        self.wanted.is_none() && !self.running && self.backoff.failures == 0
    }
}

/// The queue. It holds no reasons: whoever is woken looks at everything.
#[derive(Debug)]
pub(super) struct Queue<K> {
    entries: BTreeMap<K, Entry>,
}

impl<K> Default for Queue<K> {
    fn default() -> Self {
        Self { entries: BTreeMap::new() }
    }
}

impl<K: Ord + Clone> Queue<K> {
    /// Asks for a key to be looked at. A later wish changes nothing; one for a key that runs is kept until it has ended.
    pub(super) fn want(&mut self, key: K, at: Instant) {
        let wanted = &mut self.entries.entry(key).or_default().wanted;
        *wanted = Some(wanted.map_or(at, |earlier| earlier.min(at)));
    }

    /// Takes the keys whose time has come and that do not run. One that is looked at in the pause after a failure is looked at
    /// again at its end, when it may be worked on.
    pub(super) fn take_due(&mut self, now: Instant) -> BTreeSet<K> {
        let mut taken = BTreeSet::new();
        for (key, entry) in &mut self.entries {
            if !entry.running && entry.wanted.is_some_and(|at| at <= now) {
                entry.wanted = entry.backoff.until(now);
                taken.insert(key.clone());
            }
        }
        self.tidy();
        taken
    }

    /// When the next key is due; none while all that are wanted run.
    pub(super) fn next(&self) -> Option<Instant> {
        self.entries.values().filter(|entry| !entry.running).filter_map(|entry| entry.wanted).min()
    }

    /// Whether work on a key may begin: it does not run, and no pause after a failure holds it.
    pub(super) fn is_free(&self, key: &K, now: Instant) -> bool {
        self.entries.get(key).is_none_or(|entry| !entry.running && entry.backoff.until(now).is_none())
    }

    /// Whether a look at a key is to come.
    pub(super) fn is_wanted(&self, key: &K) -> bool {
        self.entries.get(key).is_some_and(|entry| entry.wanted.is_some())
    }

    /// Whether work on a key runs.
    pub(super) fn is_running(&self, key: &K) -> bool {
        self.entries.get(key).is_some_and(|entry| entry.running)
    }

    /// The keys on which work runs.
    pub(super) fn running(&self) -> impl Iterator<Item = &K> {
        self.entries.iter().filter(|(_, entry)| entry.running).map(|(key, _)| key)
    }

    /// The keys that a pause after a failure holds.
    pub(super) fn paused(&self, now: Instant) -> impl Iterator<Item = &K> {
        self.entries.iter().filter(move |(_, entry)| entry.backoff.until(now).is_some()).map(|(key, _)| key)
    }

    /// Work on a key begins.
    pub(super) fn started(&mut self, key: K) {
        self.entries.entry(key).or_default().running = true;
    }

    /// Work on a key ended well: it is looked at again, and only then is known to have come to its end. That look is also for
    /// whatever was wanted meanwhile.
    pub(super) fn ended(&mut self, key: K, look: Instant) {
        let entry = self.entries.entry(key).or_default();
        (entry.running, entry.wanted) = (false, Some(look));
    }

    /// A key was looked at, and nothing is left to do.
    pub(super) fn settled(&mut self, key: &K) {
        if let Some(entry) = self.entries.get_mut(key) {
            // The look that was wanted at the end of the pause has just been had.
            if entry.backoff.until.is_some() && entry.wanted == entry.backoff.until {
                entry.wanted = None;
            }
            entry.backoff = Backoff::default();
        }
    }

    /// Work on a key failed: it is looked at again after a pause.
    pub(super) fn failed(&mut self, key: K, now: Instant) {
        let entry = self.entries.entry(key.clone()).or_default();
        entry.running = false;
        // What was wanted meanwhile waits too.
        entry.wanted = None;
        let until = entry.backoff.failed(now);
        self.want(key, until);
    }

    /// Failures of a key in a row, and the end of the pause.
    pub(super) fn backoff(&self, key: &K) -> Backoff {
        self.entries.get(key).map(|entry| entry.backoff).unwrap_or_default()
    }

    /// Forgets pauses: what is declared changed, so what failed before may work now.
    pub(super) fn forgive(&mut self, now: Instant) {
        for entry in self.entries.values_mut().filter(|entry| entry.backoff.failures > 0) {
            entry.backoff = Backoff::default();
            entry.wanted = Some(now);
        }
    }

    /// Forgets the keys that are no more. One that is wanted may have come since it was asked which there are, and a running
    /// one stays until it has ended.
    pub(super) fn retain(&mut self, keep: impl Fn(&K) -> bool) {
        self.entries.retain(|key, entry| entry.running || entry.wanted.is_some() || keep(key));
    }

    /// How many keys are known.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    fn tidy(&mut self) {
        self.entries.retain(|_, entry| !entry.is_idle());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[tokio::test(start_paused = true)]
    async fn wishes_for_one_key_are_one_and_the_earliest_wins() {
        let (mut queue, start) = (Queue::default(), Instant::now());
        queue.want("a", start + seconds(30));
        queue.want("a", start + seconds(10));
        queue.want("a", start + seconds(20));
        queue.want("b", start + seconds(15));
        assert_eq!(queue.next(), Some(start + seconds(10)));
        assert!(queue.take_due(start + seconds(9)).is_empty());
        assert_eq!(queue.take_due(start + seconds(10)), BTreeSet::from(["a"]));
        assert_eq!(queue.take_due(start + seconds(60)), BTreeSet::from(["b"]), "a was asked for once");
        assert_eq!(queue.next(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_running_key_is_not_taken_and_what_is_wanted_meanwhile_is_not_lost() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.started("a");
        queue.want("a", now);
        assert!(!queue.is_free(&"a", now) && queue.is_running(&"a"));
        assert!(queue.take_due(now).is_empty());
        assert_eq!(queue.next(), None, "nothing to wake up for while it runs");
        queue.ended("a", now + seconds(1));
        assert!(queue.is_wanted(&"a") && queue.take_due(now).is_empty(), "one look, after its end, is for both");
        assert_eq!(queue.take_due(now + seconds(1)), BTreeSet::from(["a"]));
        assert!(!queue.is_wanted(&"a"));
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_double_up_to_ten_minutes_and_end_with_a_success() {
        let (mut queue, mut now) = (Queue::default(), Instant::now());
        let mut pauses = Vec::new();
        for _ in 0..9 {
            queue.started("a");
            queue.failed("a", now);
            let next = queue.next().expect("it is tried again");
            assert!(!queue.is_free(&"a", now) && queue.is_free(&"a", next));
            pauses.push((next - now).as_secs());
            now = next;
            assert_eq!(queue.take_due(now), BTreeSet::from(["a"]));
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 320, 600, 600]);
        assert_eq!(queue.backoff(&"a").failures(), 9);
        queue.ended("a", now);
        assert_eq!(queue.backoff(&"a").failures(), 9, "what it did is not known to last");
        queue.settled(&"a");
        assert_eq!(queue.backoff(&"a").failures(), 0);
        queue.take_due(now);
        queue.failed("a", now);
        assert_eq!(queue.next(), Some(now + FIRST_PAUSE));
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_declaration_ends_the_pauses() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.failed("a", now);
        queue.forgive(now);
        assert!(queue.is_free(&"a", now));
        assert_eq!(queue.take_due(now), BTreeSet::from(["a"]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_in_a_pause_leaves_its_end_wanted_unless_nothing_is_left_to_do() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.failed("a", now);
        queue.want("a", now + seconds(1));
        assert_eq!(queue.take_due(now + seconds(1)), BTreeSet::from(["a"]));
        assert_eq!(queue.next(), Some(now + FIRST_PAUSE));
        queue.settled(&"a");
        assert_eq!(queue.next(), None);
        assert!(queue.is_free(&"a", now + seconds(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn keys_that_are_gone_are_forgotten_once_they_do_not_run_and_were_looked_at() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.started("runs");
        queue.want("came", now);
        queue.failed("gone", now);
        assert_eq!(queue.take_due(now + FIRST_PAUSE), BTreeSet::from(["came", "gone"]));
        queue.want("came", now);
        queue.retain(|_| false);
        assert_eq!(queue.entries.keys().copied().collect::<Vec<_>>(), ["came", "runs"]);
    }
}
