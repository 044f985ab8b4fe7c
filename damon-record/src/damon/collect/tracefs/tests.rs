use super::super::tests::{aggregated, all, raw};
use super::instance::tests::Fake;
use super::page::Missed;
use super::page::tests::{HEADER_PAGE, Writer};
use super::*;
use crate::damon::events::{EventKind, fake};

const EVENTS: [EventKind; 2] = [EventKind::Aggregated, EventKind::IntervalsTuned];

/// A tracefs whose new instances have these pages in the buffers of their CPUs.
struct Tree {
    root: tempfile::TempDir,
    pages: Vec<Vec<u8>>,
    missing: &'static str,
}

impl Tree {
    fn new(pages: Vec<Vec<u8>>) -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("instances")).unwrap();
        for kind in EVENTS {
            let folder = root.path().join("events/damon").join(kind.tracepoint());
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("format"), fake::format(kind)).unwrap();
        }
        Self { root, pages, missing: "" }
    }

    fn open(&self) -> Result<Trace, CollectError> {
        let mut files: Vec<(String, Vec<u8>)> = vec![
            ("trace_clock".into(), Vec::new()),
            ("buffer_size_kb".into(), Vec::new()),
            ("tracing_on".into(), b"1".to_vec()),
            ("events/header_page".into(), HEADER_PAGE.into()),
        ];
        for kind in EVENTS {
            for file in ["filter", "enable"] {
                files.push((format!("events/damon/{}/{file}", kind.tracepoint()), b"0".to_vec()));
            }
        }
        for (cpu, pages) in self.pages.iter().enumerate() {
            files.push((format!("per_cpu/cpu{cpu}/trace_pipe_raw"), pages.clone()));
            files.push((format!("per_cpu/cpu{cpu}/stats"), stats(0)));
        }
        files.retain(|(file, _)| self.missing.is_empty() || !file.ends_with(self.missing));
        let wanted = Wanted {
            tracefs: self.root.path(),
            threads: &[77, 78],
            events: &EVENTS,
            bytes: Wanted::DEFAULT_BYTES,
        };
        Trace::with(&wanted, 42, Box::new(Fake { files, busy: false }))
    }

    fn read(&self, file: &str) -> String {
        let path = self.root.path().join("instances/damon-record-42").join(file);
        std::fs::read_to_string(path).unwrap()
    }

    fn instances(&self) -> usize {
        std::fs::read_dir(self.root.path().join("instances")).unwrap().count()
    }
}

fn stats(overrun: u64) -> Vec<u8> {
    format!(
        "entries: 5\noverrun: {overrun}\ncommit overrun: 1\nbytes: 99\noldest event ts:  1.0\n\
         now ts: 2.0\ndropped events: 2\nread events: 0\n"
    )
    .into_bytes()
}

fn event(index: u64) -> Vec<u8> {
    raw(77, &aggregated(index, 9))
}

/// Times of events; a loss as `Err(count)`.
fn brief(collected: &[Collected]) -> Vec<Result<u64, u64>> {
    let brief = |collected: &Collected| match *collected {
        Collected::Event { time_ns, .. } => Ok(time_ns),
        Collected::Lost { count, .. } => Err(count),
    };
    collected.iter().map(brief).collect()
}

#[test]
fn an_instance_is_set_up_and_taken_away() {
    let tree = Tree::new(vec![Vec::new(), Vec::new()]);
    let mut trace = tree.open().unwrap();
    assert_eq!(tree.read("trace_clock"), "mono");
    assert_eq!(tree.read("buffer_size_kb"), "2048");
    for kind in EVENTS {
        let folder = format!("events/damon/{}", kind.tracepoint());
        assert_eq!(tree.read(&format!("{folder}/filter")), "common_pid == 77 || common_pid == 78");
        assert_eq!(tree.read(&format!("{folder}/enable")), "1");
    }
    assert_eq!(trace.fds().len(), 2);
    let said = trace.describe();
    for part in ["damon-record-42", "2048 KiB", "2 CPUs", "threads 77, 78", "damon_aggregated"] {
        assert!(said.contains(part), "{said}");
    }
    assert_eq!(all(|each| trace.drain(each)), []);
    assert_eq!(trace.instance().unwrap().file_name().unwrap(), "damon-record-42");
    drop(trace);
    assert_eq!(tree.instances(), 0);
}

#[test]
fn what_cannot_be_set_up_is_said_and_leaves_nothing() {
    for missing in ["trace_clock", "filter", "enable", "trace_pipe_raw", "header_page"] {
        let tree = Tree { missing, ..Tree::new(vec![Vec::new()]) };
        let error = tree.open().unwrap_err().to_string();
        assert!(error.contains(missing), "{error}");
        assert_eq!(tree.instances(), 0);
    }
}

#[test]
fn pages_of_all_cpus_come_out_in_the_order_of_time() {
    // A thread on CPU 1, then 0, then 1; two pages on CPU 1.
    let first = Writer::new(100).event(0, &event(0)).event(5, &event(1)).bytes();
    let second = Writer::new(200).event(0, &event(4)).event(7, &raw(79, &aggregated(0, 1))).bytes();
    let other = Writer::new(110).event(1, &event(2)).event(1, &event(3)).bytes();
    let tree = Tree::new(vec![other, [first, second].concat()]);
    let mut trace = tree.open().unwrap();
    let collected = all(|each| trace.drain_until(112, each));
    assert_eq!(brief(&collected), [Ok(100), Ok(105), Ok(111), Ok(112)]);
    let settled = all(|each| trace.settle(each));
    // Three more were lost on each CPU according to the statistics.
    assert_eq!(brief(&settled), [Ok(200), Err(3), Err(3)]);
    assert_eq!((trace.tally().events, trace.tally().foreign), (5, 1));
}

#[test]
fn losses_are_told_where_they_happened_and_once() {
    let counted = Writer::new(100).missed(Missed::Counted(40)).event(0, &event(0)).bytes();
    let uncounted = Writer::new(200).missed(Missed::Uncounted).event(0, &event(1)).bytes();
    let tree = Tree::new(vec![[counted, uncounted].concat()]);
    let mut trace = tree.open().unwrap();
    std::fs::write(trace.cpus[0].path.join("stats"), stats(60)).unwrap();
    let collected = all(|each| trace.drain(each));
    assert_eq!(brief(&collected), [Err(40), Ok(100), Err(23), Ok(200)]);
    assert_eq!(collected[0], Collected::Lost { time_ns: Some(100), count: 40 });
    assert_eq!(all(|each| trace.settle(each)), []);
    assert_eq!(trace.tally().lost, 63);
}

#[test]
fn damaged_pages_are_losses_and_the_next_page_is_read() {
    let mut cut = Writer::new(100).event(0, &event(0)).event(0, &event(1)).bytes();
    // The second entry claims more than there is.
    cut[16 + 52..16 + 56].copy_from_slice(&[0xbc, 0, 0, 0]);
    let nonsense = vec![0xff; 4096];
    let good = Writer::new(300).event(0, &event(2)).bytes();
    let tree = Tree::new(vec![[cut, nonsense, good].concat()]);
    let mut trace = tree.open().unwrap();
    let collected = all(|each| trace.drain(each));
    assert_eq!(brief(&collected), [Err(1), Ok(100), Err(1), Ok(300)]);
}
