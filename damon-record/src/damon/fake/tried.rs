//! Regions that schemes were tried on.

use super::kernel::Kernel;
use super::node::Node;
use super::template::Builder;

impl Kernel {
    /// Every scheme is tried on every region of every target; as in 6.12 the directories of all schemes are numbered
    /// together.
    pub(super) fn try_regions(&mut self, index: u32) {
        let Some(copy) = self.running.get(&index) else { return };
        let regions: Vec<(u64, u64)> =
            copy.targets.iter().flat_map(|target| target.regions.clone()).collect();
        let nr_schemes = copy.schemes.len();
        let (nr_accesses, age) = self.counted;
        for scheme in 0..nr_schemes {
            let path = format!("kdamonds/{index}/contexts/0/schemes/{scheme}/tried_regions");
            // Whoever has removed the scheme's directory does not want to know.
            let Some(dir) = self.root.dir_mut(&path) else { continue };
            dir.entries.retain(|name, _| name.parse::<u32>().is_err());
            for (place, (start, end)) in regions.iter().enumerate() {
                let values =
                    [*start, *end, u64::from(nr_accesses), u64::from(age)].map(|n| n.to_string());
                let tried = Builder::tried_region(&mut self.next_id, &values);
                let number = place * nr_schemes + scheme;
                dir.entries.insert(number.to_string(), Node::Dir(tried));
            }
        }
    }
}
