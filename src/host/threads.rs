//! Threads on which calls are made that can be given up: libvirt has no time limit of its own and no way to cancel a call, so a
//! call that hangs keeps its thread, and others go on.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{iter, thread};

use super::{Host, READERS_PER_HOST, Result};

type Job = Box<dyn FnOnce() + Send>;

/// The threads of a host.
pub(super) struct Threads {
    host: Arc<dyn Host>,
    /// The inboxes of the threads that wait for work. A thread ends when its inbox is dropped.
    pub(super) idle: Arc<Mutex<Vec<Sender<Job>>>>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// The call was not made.
    NotSent(String),
    /// The time is up; the call still runs.
    Late,
    /// The call ended without an answer.
    Lost(String),
}

/// What came of a call that is waited for with a limit.
type Answer<T> = std::result::Result<T, NoAnswer>;

impl Threads {
    pub(super) fn new(host: Arc<dyn Host>) -> Self {
        Self { host, idle: Arc::default() }
    }

    /// Runs a call on a waiting thread, or a new one where none waits.
    pub(super) fn run<T: Send + 'static>(
        &self,
        limit: Duration,
        call: impl FnOnce(&dyn Host) -> T + Send + 'static,
    ) -> Answer<T> {
        self.begin(call)?.recv_timeout(limit).map_err(no_answer)
    }

    /// Runs calls that follow each other on one thread, up to the first that fails: the change of threads, twice for each
    /// call, cost as much as all else that snapward does about a snapshot. Each call has the time limit to itself. Of one
    /// that is late the place is told with the reason, and the calls behind it are not made.
    pub(super) fn run_each<T: Send + 'static>(
        &self,
        limit: Duration,
        count: usize,
        call: impl Fn(&dyn Host, usize) -> Result<T> + Send + 'static,
    ) -> std::result::Result<Result<Vec<T>>, (usize, NoAnswer)> {
        let row = Row::new(count);
        let steps = Arc::new(Steps::begin());
        let own = Arc::clone(&steps);
        let calls = move |host: &dyn Host| iter::from_fn(|| own.next(&row)).map(|place| call(host, place)).collect();
        let answer = self.begin(calls).map_err(|error| (0, error))?;
        steps.wait(&answer, limit).map_err(|(place, error)| (place.unwrap_or_default(), error))
    }

    /// Runs calls that do not hang on each other on several threads, each of which takes the next as soon as it is free. Each
    /// call has the time limit to itself; where one is late or lost, another thread goes on. In order, whatever came of each.
    pub(super) fn run_all<T: Send + 'static>(
        &self,
        limit: Duration,
        count: usize,
        call: impl Fn(&dyn Host, usize) -> T + Send + Sync + 'static,
    ) -> Vec<Answer<T>> {
        let (row, call) = (Arc::new(Row::new(count)), Arc::new(call));
        // Nobody waits at this end while calls are made: an answer wakes no thread.
        let (done, answers) = mpsc::channel();
        let begin = || {
            let steps = Arc::new(Steps::begin());
            let (own, row, call, done) = (Arc::clone(&steps), Arc::clone(&row), Arc::clone(&call), done.clone());
            let calls = move |host: &dyn Host| {
                // An error: everybody has gone.
                iter::from_fn(|| own.next(&row)).for_each(|place| drop(done.send((place, call(host, place)))));
            };
            self.begin(calls).map(|ended| (ended, steps))
        };
        let mut unsent = NoAnswer::Lost("nobody made the call".to_owned());
        let mut readers = VecDeque::new();
        let mut add = |readers: &mut VecDeque<_>| match begin() {
            Ok(reader) => readers.push_back(reader),
            Err(error) => unsent = error,
        };
        (0..READERS_PER_HOST.min(count)).for_each(|_| add(&mut readers));
        let mut failed = Vec::new();
        while let Some((ended, steps)) = readers.pop_front() {
            if let Err((place, error)) = steps.wait(&ended, limit) {
                failed.extend(place.map(|place| (place, error)));
                if !row.is_done() {
                    add(&mut readers);
                }
            }
        }
        let mut all: Vec<Answer<T>> = iter::repeat_with(|| Err(unsent.clone())).take(count).collect();
        failed.into_iter().for_each(|(place, error)| all[place] = Err(error));
        answers.try_iter().for_each(|(place, answer)| all[place] = Ok(answer));
        all
    }

    /// Has a call run, and returns where its answer will come.
    fn begin<T: Send + 'static>(&self, call: impl FnOnce(&dyn Host) -> T + Send + 'static) -> Answer<Receiver<T>> {
        let waiting = lock(&self.idle).pop();
        let thread = match waiting {
            Some(thread) => thread,
            None => spawn().map_err(|error| NoAnswer::NotSent(format!("no thread for the call: {error}")))?,
        };
        let (reply, answer) = mpsc::sync_channel(1);
        let (host, idle, inbox) = (Arc::clone(&self.host), Arc::clone(&self.idle), thread.clone());
        let job: Job = Box::new(move || {
            let result = call(host.as_ref());
            // Waiting again before the answer is sent: the caller's next call finds this thread.
            lock(&idle).push(inbox);
            // A caller that gave up has dropped its end.
            drop(reply.send(result));
        });
        if thread.send(job).is_err() {
            return Err(NoAnswer::NotSent("the thread for the call has ended".to_owned()));
        }
        Ok(answer)
    }
}

fn spawn() -> std::io::Result<Sender<Job>> {
    let (inbox, jobs) = mpsc::channel::<Job>();
    thread::Builder::new().name("host-call".to_owned()).spawn(move || {
        for job in jobs {
            job();
        }
    })?;
    Ok(inbox)
}

fn no_answer(error: RecvTimeoutError) -> NoAnswer {
    match error {
        RecvTimeoutError::Timeout => NoAnswer::Late,
        RecvTimeoutError::Disconnected => NoAnswer::Lost("the call ended without an answer".to_owned()),
    }
}

/// What is guarded is whole between any two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Calls to be made, by their places.
struct Row {
    next: AtomicUsize,
    count: usize,
}

impl Row {
    fn new(count: usize) -> Self {
        Self { next: AtomicUsize::new(0), count }
    }

    fn take(&self) -> Option<usize> {
        Some(self.next.fetch_add(1, Ordering::Relaxed)).filter(|place| *place < self.count)
    }

    fn is_done(&self) -> bool {
        self.next.load(Ordering::Relaxed) >= self.count
    }
}

/// The call that runs, of several; none before the first.
#[derive(Clone, Copy)]
struct Step {
    place: Option<usize>,
    begun: Instant,
    /// Nobody waits for it any more.
    given_up: bool,
}

/// What the thread that makes several calls shares with the one that waits for them.
struct Steps(Mutex<Step>);

impl Steps {
    fn begin() -> Self {
        Self(Mutex::new(Step { place: None, begun: Instant::now(), given_up: false }))
    }

    /// The next call to make; none where there is none, or nobody waits for it.
    fn next(&self, row: &Row) -> Option<usize> {
        let mut at = lock(&self.0);
        if at.given_up {
            return None;
        }
        // Under the lock: a thread that is given up has taken no further one.
        let place = row.take()?;
        *at = Step { place: Some(place), begun: Instant::now(), given_up: false };
        Some(place)
    }

    /// Waits until the thread is through with its calls. One that is late is given up and told with its place, as one that
    /// was lost.
    fn wait<T>(&self, answer: &Receiver<T>, limit: Duration) -> std::result::Result<T, (Option<usize>, NoAnswer)> {
        let mut seen = *lock(&self.0);
        loop {
            let error = match answer.recv_timeout(limit.saturating_sub(seen.begun.elapsed())) {
                Ok(result) => return Ok(result),
                Err(error) => error,
            };
            let mut now = lock(&self.0);
            if matches!(error, RecvTimeoutError::Disconnected) || now.place == seen.place {
                now.given_up = true;
                return Err((now.place, no_answer(error)));
            }
            seen = *now;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::super::fake::Fake;
    use super::*;

    const LONG: Duration = Duration::from_secs(600);
    /// Longer than a busy machine takes to go on with a call that does nothing.
    const SHORT: Duration = Duration::from_secs(1);

    fn threads() -> Threads {
        Threads::new(Arc::new(Fake::default()))
    }

    fn waiting(threads: &Threads) -> usize {
        lock(&threads.idle).len()
    }

    #[test]
    fn several_calls_come_to_as_many_answers_in_order_on_few_threads() {
        let threads = threads();
        for count in [0, 1, 3, 1000] {
            let answers = threads.run_all(LONG, count, |_, place| place);
            assert_eq!(answers, (0..count).map(Ok).collect::<Vec<_>>());
        }
        assert!(waiting(&threads) <= READERS_PER_HOST);
    }

    #[test]
    fn late_calls_keep_none_of_the_others_from_being_made() {
        // More of them hang than there are readers, and one among the last.
        let hangs = |place: usize| place < READERS_PER_HOST + 1 || place == 18;
        let gate = Arc::new(Barrier::new(READERS_PER_HOST + 3));
        let made = Arc::new(AtomicUsize::new(0));
        let (threads, own, counted) = (threads(), Arc::clone(&gate), Arc::clone(&made));
        let answers = threads.run_all(SHORT, 20, move |_, place| {
            counted.fetch_add(1, Ordering::SeqCst);
            if hangs(place) {
                own.wait();
            }
            place
        });
        let expected = |place| if hangs(place) { Err(NoAnswer::Late) } else { Ok(place) };
        assert_eq!(answers, (0..20).map(expected).collect::<Vec<_>>());
        gate.wait();
        // They end, and make no call that another has made.
        while waiting(&threads) < READERS_PER_HOST + 2 {
            thread::yield_now();
        }
        assert_eq!(made.load(Ordering::SeqCst), 20);
    }

    #[test]
    fn a_panic_is_the_loss_of_its_own_answer_alone() {
        let answers = threads().run_all(LONG, 20, |_, place| {
            assert_ne!(place, 7, "told to panic");
            place
        });
        for (place, answer) in answers.into_iter().enumerate() {
            assert_eq!(matches!(answer, Err(NoAnswer::Lost(_))), place == 7, "{place}: {answer:?}");
        }
    }

    #[test]
    fn without_a_thread_none_is_sent() {
        let threads = threads();
        (0..READERS_PER_HOST).for_each(|_| lock(&threads.idle).push(mpsc::channel().0));
        let answers = threads.run_all(LONG, 9, |_, place| place);
        assert_eq!(answers.len(), 9);
        assert!(answers.iter().all(|answer| matches!(answer, Err(NoAnswer::NotSent(_)))), "{answers:?}");
    }
}
