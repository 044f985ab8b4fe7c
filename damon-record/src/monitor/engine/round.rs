//! One round: an address in every region, and whether it was accessed.

use super::Engine;
use crate::monitor::attrs;
use damon_format::TargetId;

/// What is due after a round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Due {
    /// Call [`Engine::aggregate`] now, before any update.
    pub aggregation: bool,
    /// Read the mappings again and call [`Engine::set_ranges`].
    pub update: bool,
}

impl Engine {
    /// Draws one address in every region of every target.
    pub fn begin_round(&mut self) {
        for target in &mut self.targets {
            target.points.clear();
            let rng = &mut self.rng;
            target.points.extend(
                target.regions.iter().map(|region| region.start + rng.below(region.size())),
            );
        }
    }

    /// The addresses drawn for each target that has any, ascending by target and by address; to be
    /// prepared before the sampling interval begins.
    pub fn points(&self) -> impl Iterator<Item = (TargetId, &[u64])> + '_ {
        self.targets
            .iter()
            .filter(|target| !target.points.is_empty())
            .map(|target| (target.id, target.points.as_slice()))
    }

    /// Counts one target's accesses of this round: `check` is given the addresses and answers in the
    /// slice of the same length, which is all `false` at first.
    ///
    /// `check` isn't called when there is nothing to check: the target is unknown, has no regions, has
    /// got other regions since [`begin_round`](Self::begin_round), or was recorded already. If it fails
    /// nothing is counted and the target sits this round out.
    pub fn record<E>(
        &mut self,
        id: TargetId,
        check: impl FnOnce(&[u64], &mut [bool]) -> Result<(), E>,
    ) -> Result<(), E> {
        let Ok(position) = self.position(id) else {
            return Ok(());
        };
        let Some(target) = self.targets.get_mut(position) else {
            return Ok(());
        };
        if target.points.is_empty() {
            return Ok(());
        }
        self.accessed.clear();
        self.accessed.resize(target.points.len(), false);
        if let Err(error) = check(&target.points, &mut self.accessed) {
            target.points.clear();
            return Err(error);
        }
        for (region, &accessed) in target.regions.iter_mut().zip(&self.accessed) {
            region.nr_accesses = region.nr_accesses.saturating_add(u32::from(accessed));
        }
        if self.cuts_around_accesses {
            target.witnesses.resize(target.points.len(), None);
            let points = target.points.iter().zip(&self.accessed);
            for (witness, (point, accessed)) in target.witnesses.iter_mut().zip(points) {
                if *accessed {
                    *witness = Some(*point);
                }
            }
        }
        target.points.clear();
        target.rounds = target.rounds.saturating_add(1);
        Ok(())
    }

    /// Ends the round and says what is due. Targets not recorded sit this round out.
    pub fn end_round(&mut self) -> Due {
        for target in &mut self.targets {
            target.points.clear();
        }
        self.passed = self.passed.saturating_add(1);
        let update = self.passed >= self.next_update;
        if update {
            let step = attrs::rounds(self.attrs.update_us, self.attrs.sample_us);
            self.next_update = self.next_update.saturating_add(step);
        }
        Due { aggregation: self.passed >= self.next_aggregation, update }
    }
}
