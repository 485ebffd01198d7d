//! Where the values of a document stand: its shape and the line of each value, found by JSON pointer.

/// The line of each value of a document.
#[derive(Debug, Clone, Default)]
pub struct Lines(
    /// The document itself first.
    Vec<Place>,
);

/// One value.
#[derive(Debug, Clone)]
pub struct Place {
    /// Its line, 1-based.
    pub line: usize,
    /// Its key, where it is of a mapping.
    pub key: Option<String>,
    /// The places of its own values, in their order.
    pub children: Vec<usize>,
    /// Whether they are found by number and not by key.
    pub is_list: bool,
}

impl Lines {
    /// Of all values of a document, itself first.
    pub fn new(places: Vec<Place>) -> Self {
        Self(places)
    }

    /// The line of the value at a JSON pointer (RFC 6901), or of its nearest parent that is written down.
    pub fn of(&self, pointer: &str) -> usize {
        let Some(mut at) = self.0.first() else { return 1 };
        for token in pointer.split('/').skip(1) {
            match self.child(at, token) {
                Some(child) => at = child,
                None => break,
            }
        }
        at.line
    }

    fn child(&self, parent: &Place, token: &str) -> Option<&Place> {
        if parent.is_list {
            let index: usize = token.parse().ok()?;
            return self.0.get(*parent.children.get(index)?);
        }
        let unescaped = token.contains('~').then(|| token.replace("~1", "/").replace("~0", "~"));
        let key = unescaped.as_deref().unwrap_or(token);
        let mut children = parent.children.iter().filter_map(|child| self.0.get(*child));
        children.find(|child| child.key.as_deref() == Some(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_written_down_has_the_line_of_its_nearest_parent() {
        let place = |line, key: Option<&str>, children: &[usize], is_list| Place {
            line,
            key: key.map(str::to_owned),
            children: children.to_vec(),
            is_list,
        };
        let lines = Lines::new(vec![
            place(2, None, &[1, 3], false),
            place(3, Some("list"), &[2], true),
            place(4, None, &[], false),
            place(5, Some("a/b~c"), &[], false),
        ]);
        assert_eq!(
            ["", "/list", "/list/0", "/list/1", "/list/0/x", "/other"].map(|at| lines.of(at)),
            [2, 3, 4, 3, 4, 2]
        );
        assert_eq!(lines.of("/a~1b~0c"), 5);
        assert_eq!(Lines::default().of("/list"), 1);
    }
}
