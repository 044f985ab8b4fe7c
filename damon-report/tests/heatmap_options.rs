//! What the options of `heatmap` do, as people type them.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};

struct Bench {
    directory: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("work.damon"), common::ten_seconds()).unwrap();
        Self { directory }
    }

    /// Status, output, complaints.
    fn run(&self, words: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_damon-report"));
        command.args(words).arg("work.damon").current_dir(self.directory.path());
        command.env_remove("COLUMNS").env_remove("NO_COLOR").stdin(Stdio::null());
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    }

    fn picture(&self, words: &[&str]) -> Vec<u8> {
        let (status, _, err) = self.run(&[&["heatmap", "-o", "x.png"], words].concat());
        assert_eq!((status, err.as_str()), (0, ""), "{words:?}");
        let file = fs::File::open(self.directory.path().join("x.png")).unwrap();
        let mut decoder = png::Decoder::new(std::io::BufReader::new(file));
        decoder.set_transformations(png::Transformations::EXPAND);
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        pixels
    }
}

#[test]
fn every_scale_pool_and_palette_is_another_picture() {
    let bench = Bench::new();
    let mut seen = BTreeSet::new();
    for words in [
        &[][..],
        &["--scale", "linear"],
        &["--scale", "log"],
        &["--scale", "rank"],
        &["--pool", "max"],
        &["--colors", "inferno"],
        &["--colors", "viridis"],
        &["--colors", "cividis"],
        &["--colors", "magma"],
        &["--colors", "grey"],
        &["--resolution", "7x9"],
        &["--marginal", "false"],
        &["--mapping", "[heap]"],
    ] {
        assert!(seen.insert(bench.picture(words)), "{words:?}");
    }
    assert!(!seen.insert(bench.picture(&["--scale", "sqrt", "--pool", "mean"])));
}

#[test]
fn mappings_and_several_addresses_select_in_every_command() {
    let bench = Bench::new();
    let (_, all, _) = bench.run(&["raw", "--format", "csv"]);
    let (_, heap, _) = bench.run(&["raw", "--format", "csv", "--mapping", "[heap]"]);
    let ends = ["--address", "..555500400000", "--address", "7fff00000000.."];
    let (_, ends_of_it, _) = bench.run(&[&["raw", "--format", "csv"], &ends[..]].concat());
    let lines = |text: &str| text.lines().count() - 1;
    assert_eq!((lines(&all), lines(&heap), lines(&ends_of_it)), (400, 300, 200));
    let bytes = |words: &[&str]| {
        let (_, text, _) = bench.run(&[&["wss", "--format", "json"], words].concat());
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        value["samples"][0]["monitored"].as_u64().unwrap() / common::MIB
    };
    assert_eq!((bytes(&[]), bytes(&["--mapping", "libwork"]), bytes(&ends)), (20, 4, 8));
    let (status, out, err) = bench.run(&["info", "--mapping", "libm"]);
    assert_eq!((status, out.as_str()), (2, ""));
    assert!(err.contains("no mapping is called `libm`"), "{err}");
}

#[test]
fn cells_and_colours_are_as_asked_for() {
    let bench = Bench::new();
    for (colour, present, absent) in
        [("16", "\x1b[44m", "8;5;"), ("256", "8;5;", "8;2;"), ("truecolor", "8;2;", "8;5;")]
    {
        let (status, text, _) = bench.run(&["heatmap", "--color", colour]);
        assert_eq!(status, 0);
        assert!(text.contains(present) && !text.contains(absent), "{colour}: {text:?}");
    }
    let (_, text, _) = bench.run(&["heatmap", "--color", "never", "--scale", "rank"]);
    assert!(text.is_ascii() && text.contains("0 .. 9 rank among accessed cells"), "{text}");
    let wrong = bench.run(&["heatmap", "--resolution", "12", "-o", "x.png"]);
    assert!(wrong.0 == 2 && wrong.2.contains("COLSxROWS"), "{}", wrong.2);
    let (_, csv, _) = bench.run(&["heatmap", "--format", "csv", "--columns", "2", "--rows", "2"]);
    let highest = csv.lines().skip(1).map(|line| line.rsplit(',').next().unwrap().to_owned());
    assert!(highest.clone().any(|rate| rate == "1"), "{csv}");
    assert!(csv.starts_with("target,start,end,start_ns,end_ns,heat,monitored,rate,max_rate\n"));
}

#[test]
fn the_map_takes_the_room_that_names_leave() {
    let bench = Bench::new();
    let export = ["export", "--to", "perf-script", "-o", "nameless.txt"];
    assert_eq!(bench.run(&export).0, 0);
    let nameless = Bench { directory: tempfile::tempdir().unwrap() };
    fs::rename(
        bench.directory.path().join("nameless.txt"),
        nameless.directory.path().join("work.damon"),
    )
    .unwrap();
    let map = |bench: &Bench| {
        let (status, out, _) = bench.run(&["heatmap", "--color", "never", "--columns", "120"]);
        assert_eq!(status, 0);
        let map = out.lines().skip(2).take_while(|line| !line.trim_start().starts_with('+'));
        map.map(str::to_owned).collect::<Vec<_>>()
    };
    let longest = |map: &[String]| map.iter().map(|line| line.chars().count()).max();
    let (with, without) = (map(&bench), map(&nameless));
    assert!(with.iter().any(|line| line.ends_with(" libwork.so.1 4 MiB")), "{with:?}");
    assert_eq!((longest(&with), longest(&without)), (Some(120), Some(120)));
    assert!(without.iter().all(|line| !line.ends_with("MiB")), "{without:?}");
    // A picture as well; what its time axis counts is said wherever there is room.
    let width = |bench: &Bench| {
        assert_eq!(bench.run(&["heatmap", "-o", "x.svg"]).0, 0);
        let svg = fs::read_to_string(bench.directory.path().join("x.svg")).unwrap();
        assert!(svg.contains("since the recording began"));
        let image = svg.split("<image ").nth(1).unwrap();
        let width = image.split("width=\"").nth(1).unwrap().split('"').next().unwrap();
        width.parse::<u32>().unwrap()
    };
    assert!(width(&nameless) > width(&bench) + 50, "{}", width(&nameless));
}

#[test]
fn the_legend_of_any_width_is_whole_sentences() {
    let bench = Bench::new();
    for (columns, colour, pool) in (20..=140).step_by(5).flat_map(|columns| {
        let kinds = [("never", "mean"), ("never", "max"), ("16", "mean"), ("16", "max")];
        kinds.map(|(colour, pool)| (columns.to_string(), colour, pool))
    }) {
        let words = ["heatmap", "--columns", &columns, "--color", colour, "--pool", pool];
        let (status, out, _) = bench.run(&words);
        let axis = out.lines().position(|line| line.trim_start().starts_with('+')).unwrap();
        let legend = out.lines().nth(axis + 2).unwrap();
        let empty = [": ;", "  ,", ": ,", "  ("].iter().any(|hole| legend.contains(hole));
        assert!(status == 0 && !empty && !legend.ends_with([':', ' ']), "{columns}: {legend}");
    }
}
