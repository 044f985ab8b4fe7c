//! What the document says in words, and the heads of its tables.

/// Of the tables of rows.
pub const HEAD: &str = "\
| pattern | regions | F1 | precision | recall | rate error | expected WSS | touched WSS | interval of WSS | of regions | found after | CPU | windows |
|---|---|---|---|---|---|---|---|---|---|---|---|---|
";

/// The start of the document.
pub const METHOD: &str = "\
## What is measured

A generator (`damon-workload`, `docs/WORKLOADS.md`) touches memory in a known way and accounts for it; a recorder watches it;
what the recording says is compared with the account, window by window. A window is one aggregation: 20 samples of 5 ms each,
or, for *exact* looks, one look after a second. The rates that the tables speak of are known by construction: a page touched every
*p* is touched in the share min(1, *s* / *p*) of the samples, where *s* is the length that samples really had (aggregation time /
samples). Windows in which the generator did not keep its pace are not judged, but counted as *spoilt*; the first two seconds
are not judged either. The memory judged is the generator's areas with the gaps between them. Recorder and generator run at the
highest ordinary priority (nice -20), the kernel's kdamond at its usual one, and the recorder without a ceiling
(`--budget 100%`): a budget trades accuracy for cost.

| column | meaning |
|---|---|
| F1, precision, recall | of hot memory, by bytes. Hot is a page that is touched in at least half of the samples; found hot is a region with at least half of the possible `nr_accesses` |
| rate error | mean over all pages of the distance between the true access rate of the page and that of its region |
| expected WSS, touched WSS | what `damon-report wss` would say of the memory judged, over the truth: Σ size × rate, and what was touched at least once in the window |
| interval of WSS | share of windows whose stated 95 % interval of the expected working set contains the truth; some dozens of windows tell little, see below for thousands |
| of regions | share of (window, region) pairs for which Wilson's 95 % interval of the region's rate contains the mean rate of its pages |
| found after | median time from a change of the pattern to the end of the first window whose hot memory agrees with the new pattern (F1 ≥ 0.8), and how many changes were found at all before the next one |
| CPU | of the recorder, and of the kdamond where the kernel looks, share of one core |

Backends that see writes only are judged by the pages written, all others by the pages touched. *referenced* sees mappings, not
pages, and is judged as it is. *damon, vaddr* is `--backend damon` without `--regions`: the kernel's operations set `vaddr`, which
covers all of the process and not only the memory judged. *damon, paddr* is `--physical`: the whole memory of the machine. Each page
of the generator is judged by the region that its page frame lies in (`/proc/PID/pagemap`, read when all pages are there and
once more at the end: a measurement in which one has moved fails). Pieces of a region state no intervals. Values are means over the repetitions ± their standard deviation. Region limits are 10 at least, and
at most what the table says.
";

/// Before the table of replays.
pub const REPLAY: &str = "\
## The algorithm alone (replay)

The same engine on touch logs, with a clock that is never late: patterns from above, and programs traced instruction by
instruction (`valgrind --tool=lackey --trace-mem=yes`, a million instructions count as a second). The truth is the log itself:
in each sample exactly the pages that the log names were touched. Nothing here depends on the machine, but for the addresses at
which programs find themselves, which differ from run to run. Five seeds each. Try it:
`damon-workload simulate` or `damon-workload fold-lackey`, then `damon-record --backend replay:FILE`.
";

/// Before the table of costs.
pub const COST: &str = "\
## What recording costs

A target that does nothing but read 32 MiB and write 32 MiB in random order as fast as it can: its touches per second while it is recorded, over
those before and after, and the CPU time of the recorder. At most 200 regions.

| backend | speed of the target | CPU of the recorder |
|---|---|---|
";

/// Before the table of intervals.
pub const INTERVALS: &str = "\
## Do the stated intervals hold?

Of each moment `damon-report wss` states an interval for the expected working set that is meant to contain the truth in 95 % of
the cases. This is tried out on the touch logs of the replays, with many monitors at once, each with a seed of its own: 60 on
each pattern, 5 on each program. Nothing but the drawing of pages differs between them, so that the truth, the samples behind each
region and the true standard deviation of the estimate are known exactly. Numbers in brackets are the 95 % interval of the
coverage itself; it takes into account that windows of one monitor have borders in common.

| column | meaning |
|---|---|
| deviation | true standard deviation of the estimated working set, over the truth (median): where it is next to nothing, samples agree |
| covered | share of the windows whose interval contains the true expected working set |
| below / above | share of the windows in which the truth was below, or above, the interval |
| width | the interval's length over that of ± 1.96 true standard deviations (median); nobody who does not know the truth reaches 1 in each window |
| rates in between | share of (window, region) pairs for which Wilson's interval contains the mean rate of the region's pages, of regions with a mean rate that is neither 0 nor 1 |
| all rates | the same for all regions |

| pattern | regions | windows | deviation | covered | below / above | width | rates in between | all rates |
|---|---|---|---|---|---|---|---|---|";

/// Before the table of pools.
pub const POOLS: &str = "\
All windows of the table together, divided by whether the estimate varies at all: by at least 2 % of the truth (one standard
deviation). *Alone* are the intervals that are stated where the snapshot before is not known, as for the first one of a block.
*With all counts* are those that could be stated if a trace told the counts of the parts that regions were merged from, and *theory*
is ± 1.96 true standard deviations, which nobody can state, around the estimate from these counts.

| windows of | that vary | covered | below / above | alone | with all counts | theory | that do not | covered |
|---|---|---|---|---|---|---|---|---|";

/// Before the table of intervals where means are rounded down.
pub const KERNEL_INTERVALS: &str = "\
### Where the kernel merges

The kernel rounds the mean of counts down at each merge. The same patterns, and the same engine with that arithmetic (what
the kernel itself should have counted, nobody knows sample by sample): *found* is the mean of the estimated over the true expected working set.
For such recordings the report adds what merging probably lost to the upper end of the interval
(`damon-report/src/analysis/merge_loss.rs` derives it); *sampling alone* is what would be covered without.

| pattern | regions | windows | found | sampling alone | covered | below / above | width |
|---|---|---|---|---|---|---|---|";
