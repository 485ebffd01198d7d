//! A value that many hold and hardly anybody changes: held once.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// A value that is copied when one of its holders changes it. The snapshots of a domain mostly hold the same disks and the
/// same definition: of a large fleet that is half of the memory.
#[derive(Debug, Clone, Default)]
pub struct Shared<T>(Arc<T>);

impl<T> Shared<T> {
    /// Holds what `other` holds where that is equal.
    pub fn unite(&mut self, other: &Self)
    where
        T: PartialEq,
    {
        if *self == *other {
            self.0 = Arc::clone(&other.0);
        }
    }
}

impl<T> From<T> for Shared<T> {
    fn from(value: T) -> Self {
        Self(Arc::new(value))
    }
}

impl<T: FromIterator<A>, A> FromIterator<A> for Shared<T> {
    fn from_iter<I: IntoIterator<Item = A>>(items: I) -> Self {
        Self::from(T::from_iter(items))
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Clone> DerefMut for Shared<T> {
    fn deref_mut(&mut self) -> &mut T {
        Arc::make_mut(&mut self.0)
    }
}

impl<T: PartialEq> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || *self.0 == *other.0
    }
}

impl<T: Eq> Eq for Shared<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_of_one_holder_alone() {
        let mut one = Shared::from(vec![1]);
        let mut other = Shared::from(vec![1]);
        other.unite(&one);
        assert!(Arc::ptr_eq(&one.0, &other.0));
        one.push(2);
        assert_eq!((one.as_slice(), other.as_slice()), (&[1, 2][..], &[1][..]));
        other.unite(&one);
        assert_ne!(one, other);
    }
}
