//! Whose memory it is that is put away and comes back: an account for each mapping, file or kind of memory.

use super::Outlook;
use super::line::share;
use crate::analysis::groups::MappingId;
use crate::analysis::num::float;
use serde::Serialize;

/// What came of the memory of one mapping, or of several at a coarser grouping.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MappingOutcome {
    /// Which one.
    #[serde(flatten)]
    pub group: MappingId,
    /// Mean over time of its bytes away.
    pub away: Outlook,
    /// Bytes of it that were put away.
    pub put_away: Outlook,
    /// Bytes of it that were accessed while they were away.
    pub refaulted: Outlook,
    /// Its part of all bytes away, expected, 0..1.
    pub share: f64,
}

/// The account of one group.
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    /// Bytes away now.
    held: Outlook,
    /// byte ns up to `since_ns`.
    sum: Outlook,
    since_ns: u64,
    put_away: Outlook,
    refaulted: Outlook,
}

/// The accounts of all groups, by their numbers. Sums over time are brought up to date where something changes, so
/// that a group of which nothing moves costs nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Book {
    accounts: Vec<Account>,
    /// Time observed so far.
    now_ns: u64,
}

impl Book {
    /// What is told from now on happens when `observed_ns` were observed.
    pub(super) fn at(&mut self, observed_ns: u64) {
        self.now_ns = observed_ns;
    }

    fn account(&mut self, group: u32) -> Option<&mut Account> {
        let index = usize::try_from(group).ok()?;
        if index >= self.accounts.len() {
            self.accounts.resize(index.saturating_add(1), Account::default());
        }
        let now_ns = self.now_ns;
        let account = self.accounts.get_mut(index)?;
        account.pass(now_ns);
        Some(account)
    }

    /// Of a group, `all` is away from now on, and `new` of that was not before.
    pub(super) fn put(&mut self, group: u32, all: Outlook, new: Outlook) {
        if let Some(account) = self.account(group) {
            account.held.add(all);
            account.put_away.add(new);
        }
    }

    /// These bytes are not away any more.
    pub(super) fn lose(&mut self, group: u32, bytes: Outlook) {
        if let Some(account) = self.account(group) {
            account.held = account.held.with(bytes, |held, gone| (held - gone).max(0.0));
        }
    }

    /// The same, because they were accessed.
    pub(super) fn refault(&mut self, group: u32, bytes: Outlook) {
        self.lose(group, bytes);
        if let Some(account) = self.account(group) {
            account.refaulted.add(bytes);
        }
    }

    /// All groups of which anything was put away, most first; `groups` tells who they are.
    pub(super) fn finish(mut self, groups: &[MappingId]) -> Vec<MappingOutcome> {
        let now_ns = self.now_ns;
        let time = float(now_ns.max(1));
        let mut found = Vec::new();
        for (account, group) in self.accounts.iter_mut().zip(groups) {
            account.pass(now_ns);
            if account.put_away != Outlook::default() {
                found.push(MappingOutcome {
                    group: group.clone(),
                    away: account.sum.map(|sum| sum / time),
                    put_away: account.put_away,
                    refaulted: account.refaulted,
                    share: 0.0,
                });
            }
        }
        let all = found.iter().map(|outcome| outcome.away.expected).sum();
        for outcome in &mut found {
            outcome.share = share(outcome.away.expected, all);
        }
        found.sort_by(|a, b| {
            let away = b.away.expected.total_cmp(&a.away.expected);
            away.then(b.put_away.expected.total_cmp(&a.put_away.expected))
                .then_with(|| a.group.cmp(&b.group))
        });
        found
    }
}

impl Account {
    fn pass(&mut self, now_ns: u64) {
        let time = float(now_ns.saturating_sub(self.since_ns));
        self.sum.add(self.held.map(|held| held * time));
        self.since_ns = now_ns;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::groups::MemoryKind;

    #[test]
    fn means_are_over_all_the_time_and_shares_add_up() {
        let mut book = Book::default();
        let bytes = Outlook::same;
        book.at(10);
        book.put(2, bytes(100.0), bytes(100.0));
        book.put(0, bytes(50.0), bytes(40.0));
        book.at(20);
        book.refault(2, bytes(60.0));
        book.at(30);
        book.lose(2, bytes(40.0));
        book.at(40);
        let kinds = [MemoryKind::Unknown, MemoryKind::Heap, MemoryKind::Stack];
        let found = book.finish(&kinds.map(MappingId::kind));
        let of = |index: usize| (found[index].group.kind, found[index].away.expected);
        // (100 * 10 + 40 * 10) / 40 and 50 * 30 / 40; nothing of the heap.
        assert_eq!((of(0), of(1)), ((MemoryKind::Unknown, 37.5), (MemoryKind::Stack, 35.0)));
        assert_eq!(found.len(), 2);
        assert_eq!((found[1].put_away.expected, found[1].refaulted.expected), (100.0, 60.0));
        assert_eq!((found[0].share, found[1].share), (37.5 / 72.5, 35.0 / 72.5));
    }
}
