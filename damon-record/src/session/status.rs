//! The status line: as many figures as fit.

use crate::units::write_bytes;
use std::fmt::Write as _;
use std::time::Duration;

/// What the line shows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Since the recording began.
    pub elapsed: Duration,
    /// Snapshots stored.
    pub snapshots: u64,
    /// Regions monitored now.
    pub regions: usize,
    /// Touched working set of the last snapshots, bytes.
    pub working_set: u64,
    /// Bytes written.
    pub written: u64,
    /// Own CPU use, per cent of one core, once it is known.
    pub cpu_percent: Option<f64>,
    /// What that costs the targets, likewise, estimated.
    pub target_percent: Option<f64>,
    /// Snapshots or events lost.
    pub lost: u64,
}

/// Renders into `out`, at most `width` columns. Figures are left out whole, the least important first:
/// losses, elapsed time and working set survive longest.
pub fn render(figures: &Figures, width: usize, out: &mut String) {
    out.clear();
    let mut fields: [(u8, String); 7] = Default::default();
    let seconds = figures.elapsed.as_secs();
    let clock = if seconds >= 3600 {
        format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
    } else {
        format!("{}:{:02}", seconds / 60, seconds % 60)
    };
    let mut wss = String::from("wss ");
    write_bytes(&mut wss, figures.working_set, " ");
    let mut file = String::from("file ");
    write_bytes(&mut file, figures.written, " ");
    let mut cpu =
        figures.cpu_percent.map(|percent| format!("cpu {percent:.1}%")).unwrap_or_default();
    if let Some(percent) = figures.target_percent.filter(|percent| *percent >= 0.05) {
        let _infallible = write!(cpu, "+{percent:.1}%");
    }
    let lost = if figures.lost > 0 { 0 } else { 6 };
    // In the order shown; the number is the rank in which they are given room.
    for (field, value) in fields.iter_mut().zip([
        (1, clock),
        (2, wss),
        (3, format!("{} snapshots", figures.snapshots)),
        (7, format!("{} regions", figures.regions)),
        (4, file),
        (5, cpu),
        (lost, format!("lost {}", figures.lost)),
    ]) {
        *field = value;
    }
    let mut shown = [false; 7];
    let mut room = width;
    for rank in 0..=7 {
        for (show, (field_rank, text)) in shown.iter_mut().zip(&fields) {
            let gap = if room == width { 0 } else { 2 };
            if *field_rank == rank && !text.is_empty() && text.len() + gap <= room {
                *show = true;
                room -= text.len() + gap;
            }
        }
    }
    for (_, (_, text)) in shown.iter().zip(&fields).filter(|(show, _)| **show) {
        let gap = if out.is_empty() { "" } else { "  " };
        let _infallible = write!(out, "{gap}{text}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures() -> Figures {
        Figures {
            elapsed: Duration::from_secs(3725),
            snapshots: 1234,
            regions: 87,
            working_set: 150 << 20,
            written: 3 << 19,
            cpu_percent: Some(0.84),
            target_percent: Some(0.01),
            lost: 0,
        }
    }

    fn line(figures: &Figures, width: usize) -> String {
        let mut out = String::new();
        render(figures, width, &mut out);
        out
    }

    #[test]
    fn a_wide_terminal_shows_everything() {
        assert_eq!(
            line(&figures(), 100),
            "1:02:05  wss 150 MiB  1234 snapshots  87 regions  file 1.5 MiB  cpu 0.8%  lost 0"
        );
    }

    #[test]
    fn what_watching_costs_the_target_is_shown_when_it_is_noticeable() {
        let costly = Figures { target_percent: Some(0.31), ..figures() };
        assert!(line(&costly, 100).contains("  cpu 0.8%+0.3%  "), "{}", line(&costly, 100));
    }

    #[test]
    fn no_width_is_ever_exceeded() {
        for width in 0..100 {
            assert!(line(&figures(), width).len() <= width);
        }
    }

    #[test]
    fn twenty_columns_hold_the_time_and_the_working_set() {
        assert_eq!(line(&figures(), 20), "1:02:05  wss 150 MiB");
    }

    #[test]
    fn losses_come_first_when_there_are_any() {
        let mut figures = figures();
        figures.lost = 3;
        figures.elapsed = Duration::from_secs(59);
        assert_eq!(line(&figures, 13), "0:59  lost 3");
    }
}
