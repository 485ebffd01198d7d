//! Notes which flags a test exercises, and holds that against the registry when the test ends.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::thread;

use super::help;
use super::registry::rows;

/// The flags that the running test has exercised.
pub(super) struct Coverage {
    /// The test, as nextest names it.
    test: String,
    seen: RefCell<BTreeSet<(String, String)>>,
}

impl Coverage {
    /// Of the test that runs in this thread.
    pub(super) fn of_this_test() -> Self {
        let test = thread::current().name().expect("a test's thread has its name").to_owned();
        Self { test, seen: RefCell::default() }
    }

    /// Notes the flags of a virsh command line that was run beside snapward.
    pub(super) fn ran(&self, virsh: &[&str]) {
        self.seen.borrow_mut().extend(help::used(virsh));
    }

    /// Notes a flag that was exercised where virsh could not be run beside snapward.
    pub(super) fn exercised(&self, command: &str, flag: &str) {
        self.seen.borrow_mut().insert((command.to_owned(), flag.to_owned()));
    }
}

impl Drop for Coverage {
    fn drop(&mut self) {
        if thread::panicking() {
            return;
        }
        let seen = self.seen.borrow();
        let of_this = |test: &str| self.test == test || self.test.starts_with(&format!("{test}::case_"));
        for row in rows().filter(|row| of_this(row.test)) {
            let flag = (row.command.to_owned(), row.flag.to_owned());
            assert!(seen.contains(&flag), "{} is registered for {flag:?} and does not exercise it", row.test);
        }
    }
}

/// How a test of that name ends that has exercised these flags: whether its coverage is accepted.
fn accepted(test: &str, flags: &[(&str, &str)]) -> bool {
    let coverage = Coverage { test: test.to_owned(), seen: RefCell::default() };
    flags.iter().for_each(|(command, flag)| coverage.exercised(command, flag));
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(coverage))).is_ok()
}

#[test]
fn a_test_must_exercise_what_it_is_registered_for() {
    let tree = "parity::list::the_tree_hangs_as_virsh_draws_it";
    assert!(accepted("parity::some::other", &[]));
    assert!(accepted(tree, &[("snapshot-list", "--tree")]));
    assert!(!accepted(tree, &[("snapshot-list", "--name")]));
    assert!(!accepted(&format!("{tree}::case_1_running"), &[]));
}
