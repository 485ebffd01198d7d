//! The same work on many items, on all processors.

use std::num::NonZero;
use std::thread;

/// Works on the items in as many pieces as there are processors, and puts together what comes of the pieces, in order. No
/// piece is smaller than `least`, the number of items that take longer than a thread to start.
///
/// # Panics
/// Where the work does: a panic goes on to the caller, as it would without the threads.
pub(crate) fn by_pieces<'i, T: Sync, R: Send>(
    items: &'i [T],
    least: usize,
    work: impl Fn(&'i [T]) -> Vec<R> + Sync,
) -> Vec<R> {
    let length = piece_length(items.len(), least);
    if length >= items.len() {
        return work(items);
    }
    at_once(items.chunks(length), work)
}

/// The same with items that are used up.
///
/// # Panics
/// As [`by_pieces`].
pub(crate) fn by_own_pieces<T: Send, R: Send>(
    mut items: Vec<T>,
    least: usize,
    work: impl Fn(Vec<T>) -> Vec<R> + Sync,
) -> Vec<R> {
    let length = piece_length(items.len(), least);
    let mut pieces = Vec::new();
    while items.len() > length {
        let rest = items.split_off(length);
        pieces.push(std::mem::replace(&mut items, rest));
    }
    if pieces.is_empty() {
        return work(items);
    }
    pieces.push(items);
    at_once(pieces.into_iter(), work)
}

/// How many items each piece has.
fn piece_length(items: usize, least: usize) -> usize {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let pieces = processors.min(items / least.max(1)).max(1);
    items.div_ceil(pieces)
}

/// Works on each piece in a thread of its own.
fn at_once<P: Send, R: Send>(pieces: impl Iterator<Item = P>, work: impl Fn(P) -> Vec<R> + Sync) -> Vec<R> {
    let work = &work;
    thread::scope(|scope| {
        let workers: Vec<_> = pieces.map(|piece| scope.spawn(move || work(piece))).collect();
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
            let expected: Vec<_> = items.iter().map(|item| 2 * item).collect();
            assert_eq!(doubled, expected);
            let doubled = by_own_pieces(items, 3, |piece| piece.into_iter().map(|item| 2 * item).collect());
            assert_eq!(doubled, expected);
        }
    }
}
