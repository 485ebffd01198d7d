//! The same work on many items, on all processors.

use std::num::NonZero;
use std::thread;

/// Works on the items in as many pieces as there are processors, and puts together what comes of the pieces, in order. No
/// piece is smaller than `least`, the number of items that take longer than a thread to start.
///
/// # Panics
/// Where the work does: a panic goes on to the caller, as it would without the threads.
pub(crate) fn by_pieces<T: Sync, R: Send>(items: &[T], least: usize, work: impl Fn(&[T]) -> Vec<R> + Sync) -> Vec<R> {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let pieces = processors.min(items.len() / least.max(1));
    if pieces < 2 {
        return work(items);
    }
    thread::scope(|scope| {
        let workers: Vec<_> =
            items.chunks(items.len().div_ceil(pieces)).map(|piece| scope.spawn(|| work(piece))).collect();
        let results =
            workers.into_iter().map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        results.flatten().collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_of_it_is_in_order() {
        for count in [0, 1, 5, 6, 7, 1000] {
            let items: Vec<usize> = (0..count).collect();
            let doubled = by_pieces(&items, 3, |piece| piece.iter().map(|item| 2 * item).collect());
            assert_eq!(doubled, items.iter().map(|item| 2 * item).collect::<Vec<_>>());
        }
    }
}
