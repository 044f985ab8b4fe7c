use super::*;
use proptest::prelude::*;

pub(in super::super) const HEADER_PAGE: &str =
    "\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;
\tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;
\tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;
\tfield: char data;\toffset:16;\tsize:4080;\tsigned:0;
";

fn layout() -> Layout {
    Layout::parse(HEADER_PAGE.as_bytes()).unwrap()
}

/// A page as the kernel writes it.
pub(in super::super) struct Writer {
    time_ns: u64,
    data: Vec<u8>,
    /// Flags and what is stored after the data.
    missed: Option<Missed>,
}

impl Writer {
    pub(in super::super) fn new(time_ns: u64) -> Self {
        Self { time_ns, data: Vec::new(), missed: None }
    }

    pub(in super::super) fn missed(mut self, missed: Missed) -> Self {
        self.missed = Some(missed);
        self
    }

    fn entry(mut self, kind: u32, delta: u32, words: &[u32], raw: &[u8]) -> Self {
        let header =
            if cfg!(target_endian = "big") { kind << 27 | delta } else { delta << 5 | kind };
        self.data.extend(header.to_ne_bytes());
        self.data.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
        self.data.extend(raw);
        self
    }

    /// An event so long after the entry before.
    pub(in super::super) fn event(self, delta: u32, raw: &[u8]) -> Self {
        let length = u32::try_from(raw.len()).unwrap();
        assert!(length.is_multiple_of(4));
        match length / 4 {
            words @ 1..=28 => self.entry(words, delta, &[], raw),
            _ => self.entry(0, delta, &[length + 4], raw),
        }
    }

    pub(in super::super) fn bytes(self) -> Vec<u8> {
        let length = u64::try_from(self.data.len()).unwrap();
        let flags = match self.missed {
            None => 0,
            // The kernel adds a negative int, so everything above is set, too.
            Some(Missed::Uncounted) => (-(1_i64 << 31)).cast_unsigned(),
            Some(Missed::Counted(_)) => (-(1_i64 << 31)).cast_unsigned().wrapping_add(1 << 30),
        };
        let mut page = self.time_ns.to_ne_bytes().to_vec();
        page.extend(length.wrapping_add(flags).to_ne_bytes());
        page.extend(self.data);
        if let Some(Missed::Counted(count)) = self.missed {
            page.extend(count.to_ne_bytes());
        }
        assert!(page.len() <= 4096);
        page.resize(4096, 0);
        page
    }
}

/// Time and bytes of each event.
type Seen = Vec<(u64, Vec<u8>)>;

fn events(page: &[u8]) -> (Seen, Result<(), Damaged>) {
    let mut events = Vec::new();
    let read = layout().open(page).unwrap().events(|time, raw| events.push((time, raw.to_vec())));
    (events, read)
}

#[test]
fn events_of_all_lengths_come_with_their_times() {
    let long = vec![7; 400];
    let page = Writer::new(1_000)
        .event(0, &[1; 4])
        .event(5, &[2; 112])
        .event(1, &[3; 116])
        .event((1 << 27) - 1, &long)
        .bytes();
    let expected = vec![
        (1_000, vec![1; 4]),
        (1_005, vec![2; 112]),
        (1_006, vec![3; 116]),
        (1_006 + (1 << 27) - 1, long),
    ];
    assert_eq!(events(&page), (expected, Ok(())));
    assert_eq!(layout().page_bytes(), 4096);
}

#[test]
fn entries_that_are_no_events_move_only_the_time() {
    let page = Writer::new(1_000)
        .entry(TIME_EXTEND, 3, &[2], &[])
        .event(1, &[1; 4])
        .entry(PADDING, 1, &[12], &[0xff; 8])
        .event(1, &[2; 4])
        .entry(TIME_STAMP, 9, &[1 << 10], &[])
        .event(1, &[3; 4])
        .entry(PADDING, 0, &[], &[])
        .event(1, &[4; 4])
        .bytes();
    let extended = 1_000 + (2 << 27) + 3;
    let expected =
        vec![(extended + 1, vec![1; 4]), (extended + 2, vec![2; 4]), ((1 << 37) + 10, vec![3; 4])];
    assert_eq!(events(&page), (expected, Ok(())));
}

#[test]
fn an_absolute_time_gets_its_high_bits_from_the_time_before() {
    assert_eq!(absolute(5, 3), 3);
    let high = 3 << STAMP_BITS;
    assert_eq!(absolute(high | 5, 9), high | 9);
    assert_eq!(absolute(high | 5, 3), (4 << STAMP_BITS) | 3);
    assert_eq!(absolute(u64::MAX, 3), 3, "wraps, and does not panic");
}

#[test]
fn missed_events_are_seen_with_and_without_their_number() {
    let open = |page: Writer| layout().open(&page.event(0, &[1; 8]).bytes()).unwrap().missed;
    assert_eq!(open(Writer::new(1)), None);
    assert_eq!(open(Writer::new(1).missed(Missed::Uncounted)), Some(Missed::Uncounted));
    assert_eq!(open(Writer::new(1).missed(Missed::Counted(123))), Some(Missed::Counted(123)));
    let flagged = Writer::new(1).missed(Missed::Counted(123)).event(0, &[1; 8]).bytes();
    assert_eq!(events(&flagged).0.len(), 1);
}

#[test]
fn what_does_not_fit_is_damaged() {
    let page = Writer::new(1_000).event(0, &[1; 8]).event(1, &[2; 8]).bytes();
    for length in 0..16 + 24 {
        assert!(matches!(layout().open(&page[..length]), Err(Damaged)), "{length}");
    }
    // A last entry that wants more than the page has.
    for (kind, words) in
        [(3, &[1, 2][..]), (0, &[1000]), (0, &[3]), (PADDING, &[2]), (TIME_STAMP, &[])]
    {
        let page = Writer::new(1_000).event(0, &[1; 8]).entry(kind, 1, words, &[]).bytes();
        assert_eq!(events(&page), (vec![(1_000, vec![1; 8])], Err(Damaged)), "{kind}");
    }
}

#[test]
fn layouts_that_make_no_sense_are_refused() {
    assert_eq!(Layout::parse(b""), None);
    for (from, to) in [("size:4080", "size:0"), ("size:4080", "size:99999999"), ("commit", "x")] {
        assert_eq!(Layout::parse(HEADER_PAGE.replace(from, to).as_bytes()), None, "{to}");
    }
    // 32 bits, and sub-buffers of 16 KiB.
    let text = HEADER_PAGE
        .replace("commit;\toffset:8;\tsize:8", "commit;\toffset:8;\tsize:4")
        .replace("offset:16;\tsize:4080", "offset:12;\tsize:16372");
    assert_eq!(Layout::parse(text.as_bytes()).unwrap().page_bytes(), 16384);
}

proptest! {
    #[test]
    fn any_page_is_borne(
        mut page in prop::collection::vec(any::<u8>(), 0..300),
        length in 0..300_u64,
    ) {
        // Often a length that lets it be read.
        if let Some(commit) = page.get_mut(8..16) {
            commit.copy_from_slice(&length.to_ne_bytes());
        }
        if let Ok(page) = layout().open(&page) {
            let mut bytes = 0;
            let _damaged = page.events(|_, raw| bytes += raw.len());
            prop_assert!(bytes <= 300);
        }
    }
}
