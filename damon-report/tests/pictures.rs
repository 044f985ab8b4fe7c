//! Golden pictures: what is drawn does not change unnoticed. `DAMON_BLESS=1 cargo test -p damon-report --test pictures`
//! writes them anew; look at them before committing.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail by panicking"
)]

mod scenes;

use damon_report::analysis::heat::Heatmap;
use damon_report::render::terminal::{self, Colours};
use damon_report::render::{RenderError, heatmap, wss};
use scenes::{Data, Scene};
use std::fs;
use std::path::PathBuf;

const COLOURS: [Colours; 3] = [Colours::None, Colours::Palette, Colours::True];

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../testdata/report/pictures").join(name)
}

/// Width, height and pixels of a PNG.
fn pixels(bytes: &[u8]) -> (u32, u32, Vec<u8>) {
    let mut decoder = png::Decoder::new(std::io::Cursor::new(bytes));
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut pixels).unwrap();
    let info = reader.info();
    (info.width, info.height, pixels)
}

/// Compares with a golden file; a PNG by its pixels, since a compressor may change.
fn check(name: &str, bytes: &[u8]) {
    let path = golden(name);
    if std::env::var_os("DAMON_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
    }
    let expected = fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; bless it with DAMON_BLESS=1", path.display()));
    let same = if path.extension().is_some_and(|e| e == "png") {
        pixels(&expected) == pixels(bytes)
    } else {
        expected == bytes
    };
    assert!(same, "{name} is drawn differently; DAMON_BLESS=1 writes it anew, git diff shows how");
}

/// An SVG without its embedded image, whose bytes depend on the compressor.
fn without_image(svg: &str) -> String {
    let mut parts = svg.split("base64,");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str(part.split_once('"').map_or("", |(_, rest)| rest));
    }
    text
}

fn drawn(scene: &Scene, width: u32, height: u32) -> Data {
    scene.data(&heatmap::grid(width, height, &scene.ranges()).unwrap())
}

#[test]
fn pictures_are_as_blessed() {
    let (width, height) = (640, 440);
    for scene in [scenes::sparse(), scenes::holes()] {
        let name = scene.name;
        let data = drawn(&scene, width, height);
        let picture = data.picture();
        let png = heatmap::heatmap_png(&picture, width, height).unwrap();
        assert_eq!(png, heatmap::heatmap_png(&picture, width, height).unwrap());
        check(&format!("{name}.png"), &png);
        let svg = heatmap::heatmap_svg(&picture, width, height).unwrap();
        check(&format!("{name}.svg"), without_image(&svg).as_bytes());
        let set = data.wss_picture();
        check(&format!("{name}.wss.png"), &wss::wss_png(&set, 900, 300).unwrap());
        let svg = wss::wss_svg(&set, 900, 300).unwrap();
        check(&format!("{name}.wss.svg"), svg.as_bytes());
    }
}

#[test]
fn texts_are_as_blessed() {
    for (columns, colours) in [
        (20, Colours::None),
        (80, Colours::None),
        (120, Colours::None),
        (60, Colours::Palette),
        (100, Colours::True),
    ] {
        let scene = scenes::two_level();
        let data = scene.data(&terminal::heatmap_grid(columns, 20, &scene.ranges(), colours));
        let mut text = terminal::heatmap(&data.picture(), columns, 20, colours);
        text.push_str(&terminal::wss(&data.wss_picture(), columns, colours));
        check(&format!("two-level.{columns}.{colours:?}.txt"), text.as_bytes());
    }
}

/// The text a terminal shows: without escape sequences.
fn visible(line: &str) -> String {
    let mut parts = line.split("\x1b[");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str(part.split_once('m').expect("only colours").1);
    }
    text
}

#[test]
fn texts_fit_any_terminal() {
    for scene in scenes::all() {
        for columns in [0, 50, 100, 131] {
            for lines in [0, 24] {
                for colours in COLOURS {
                    let grid = terminal::heatmap_grid(columns, lines, &scene.ranges(), colours);
                    let data = scene.data(&grid);
                    let text = terminal::heatmap(&data.picture(), columns, lines, colours);
                    let name = format!("{} {columns}x{lines} {colours:?}", scene.name);
                    assert!(text.lines().count() <= lines.max(8), "{name}:\n{text}");
                    let set = terminal::wss(&data.wss_picture(), columns, colours);
                    for line in text.lines().chain(set.lines()) {
                        let shown = visible(line);
                        let width = shown.chars().count();
                        assert!(width <= columns.max(20), "{name}: {width} columns: {shown:?}");
                        assert!(colours != Colours::None || line.is_ascii(), "{name}: {line:?}");
                    }
                    assert!(!set.is_empty());
                }
            }
        }
    }
}

#[test]
fn every_scene_is_drawn_at_every_size() {
    for scene in scenes::all() {
        for (width, height) in [(320, 200), (333, 777), (1200, 300)] {
            let data = drawn(&scene, width, height);
            let picture = data.picture();
            let png = heatmap::heatmap_png(&picture, width, height).unwrap();
            let (w, h, _) = pixels(&png);
            assert_eq!((w, h), (width, height));
            let svg = heatmap::heatmap_svg(&picture, width, height).unwrap();
            assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
            let set = data.wss_picture();
            assert_eq!(pixels(&wss::wss_png(&set, width, height).unwrap()).0, width);
            assert!(wss::wss_svg(&set, width, height).unwrap().ends_with("</svg>\n"));
        }
    }
}

#[test]
fn heatmaps_that_do_not_fit_the_grid_are_drawn_too() {
    let scene = scenes::holes();
    let full = drawn(&scene, 640, 480).heatmap;
    let with = |change: fn(&mut Heatmap)| {
        let mut heatmap = full.clone();
        change(&mut heatmap);
        heatmap
    };
    let odd = [
        with(|h| h.columns = 0),
        with(|h| h.columns = usize::MAX),
        with(|h| h.end_ns = h.start_ns),
        with(|h| h.end_ns = 0),
        with(|h| h.bands[0].rows = usize::MAX),
        with(|h| h.bands[0].cells.clear()),
        with(|h| h.bands[0].end = h.bands[0].start),
        with(|h| (h.bands[0].start, h.bands[0].end) = (0, u64::MAX)),
        with(|h| (h.bands[0].start, h.bands[0].end) = (u64::MAX, 0)),
        with(|h| h.bands[0].cells.iter_mut().for_each(|c| c.heat = f64::NAN)),
        with(|h| h.bands[0].cells.iter_mut().for_each(|c| c.monitored = f64::INFINITY)),
        with(|h| {
            h.bands[0].cells.clear();
            h.bands = vec![h.bands[0].clone(); 2000];
        }),
        with(|h| {
            h.bands[0].cells.clear();
            h.bands[0].mappings = vec![h.bands[0].mappings[0].clone(); 5000];
        }),
    ];
    for (i, heatmap) in odd.iter().enumerate() {
        let data = drawn(&scenes::nothing(), 640, 480);
        let picture = heatmap::Picture { heatmap, ..data.picture() };
        assert!(heatmap::heatmap_png(&picture, 640, 480).is_ok(), "case {i}");
        assert!(heatmap::heatmap_png(&picture, 320, 200).is_ok(), "case {i}");
        for colours in COLOURS {
            assert!(!terminal::heatmap(&picture, 80, 24, colours).is_empty(), "case {i}");
        }
    }
}

#[test]
fn absurd_sizes_are_refused_with_a_sentence() {
    for (width, height) in [(0, 0), (319, 200), (320, 199), (10_001, 500), (u32::MAX, u32::MAX)] {
        let error = heatmap::grid(width, height, &[]).unwrap_err();
        assert!(matches!(error, RenderError::Size { .. }));
        assert!(error.to_string().contains("ask for 320x200 to 10000x10000 pixels"), "{error}");
    }
}

#[test]
fn a_cell_is_drawn_where_it_was_asked_for() {
    // One hot cell in an idle band is one dark pixel, since the grid is the picture's own.
    let scene = scenes::idle();
    let (width, height) = (640, 480);
    let mut data = drawn(&scene, width, height);
    let cold = pixels(&heatmap::heatmap_png(&data.picture(), width, height).unwrap()).2;
    let (row, column) = (10, 77);
    let columns = data.heatmap.columns;
    let cell = &mut data.heatmap.bands[1].cells[row * columns + column];
    cell.heat = cell.monitored;
    let hot = pixels(&heatmap::heatmap_png(&data.picture(), width, height).unwrap()).2;
    let changed = cold.chunks(3).zip(hot.chunks(3)).filter(|(a, b)| a != b).count();
    assert_eq!(changed, 1);
}
