//! Lists in pages, ordered by name.

use super::params::Params;

/// Which page of a list is asked for.
#[derive(Debug)]
pub(super) struct Paging {
    /// Most entries.
    pub(super) limit: usize,
    after: String,
}

impl Paging {
    /// Reads it from `params`: `limit`, 1 to 1000 and 100 by default, and `after`.
    pub(super) fn of(params: &mut Params) -> Self {
        let limit = params.number("limit", 1..=1000_u32).unwrap_or(100);
        let after = params.text("after").unwrap_or_default();
        Self { limit: usize::try_from(limit).unwrap_or(usize::MAX), after }
    }

    /// Whether the entry named `id` comes after those of the pages before.
    pub(super) fn is_ahead(&self, id: &str) -> bool {
        id > self.after.as_str()
    }

    /// The page of `entries`, all of which are ahead, and where the next one begins. `name` tells an entry's name.
    pub(super) fn page<T>(
        &self,
        entries: impl IntoIterator<Item = T>,
        name: impl Fn(&T) -> &str,
    ) -> (Vec<T>, Option<String>) {
        let mut entries = entries.into_iter();
        let page: Vec<T> = entries.by_ref().take(self.limit).collect();
        let next = entries.next().and_then(|_| page.last()).map(|last| name(last).to_owned());
        (page, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_join_without_gaps() {
        let all = ["a", "b", "c"];
        let page = |limit: usize, after: &str| {
            let paging = Paging { limit, after: after.to_owned() };
            paging.page(all.into_iter().filter(|name| paging.is_ahead(name)), |name| name)
        };
        assert_eq!(page(2, ""), (vec!["a", "b"], Some("b".to_owned())));
        assert_eq!(page(2, "b"), (vec!["c"], None));
        assert_eq!(page(3, ""), (all.to_vec(), None), "a full page may be the last");
        assert_eq!(page(2, "z"), (vec![], None));
    }
}
