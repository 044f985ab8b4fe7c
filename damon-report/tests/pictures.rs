//! Golden pictures: what is drawn does not change unnoticed. `DAMON_BLESS=1 cargo test -p damon-report --test pictures`
//! writes them anew; look at them before committing.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail by panicking"
)]

mod scenes;

use damon_report::analysis::cells::{Cell, Cells, Pool};
use damon_report::analysis::heat::{Band, Heatmap};
use damon_report::render::terminal::{self, Colours};
use damon_report::render::{Extras, Look, Palette, RenderError, Scale, heatmap, wss};
use proptest::prelude::*;
use scenes::{Data, Scene};
use std::fs;
use std::path::PathBuf;

const COLOURS: [Colours; 4] = [Colours::None, Colours::Basic, Colours::Palette, Colours::True];

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

/// Changes the cells of a band, which come row by row.
fn change(band: &mut Band, mut each: impl FnMut(usize, &mut Cell)) {
    let mut cells: Vec<Cell> = band.cells.iter().collect();
    cells.iter_mut().enumerate().for_each(|(index, cell)| each(index, cell));
    band.cells = Cells::by_rows(band.cells.columns(), &cells);
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
    scene.data(&heatmap::grid(width, height, &scene.ranges(), scene.extras()).unwrap())
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
        (60, Colours::Basic),
        (100, Colours::True),
    ] {
        let scene = scenes::two_level();
        let data = scene.data(&terminal::heatmap_grid(
            columns,
            20,
            &scene.ranges(),
            colours,
            scene.extras(),
        ));
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
                    let grid = terminal::heatmap_grid(
                        columns,
                        lines,
                        &scene.ranges(),
                        colours,
                        scene.extras(),
                    );
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
        with(|h| h.bands[0].cells = Cells::default()),
        with(|h| h.bands[0].end = h.bands[0].start),
        with(|h| (h.bands[0].start, h.bands[0].end) = (0, u64::MAX)),
        with(|h| (h.bands[0].start, h.bands[0].end) = (u64::MAX, 0)),
        with(|h| change(&mut h.bands[0], |_, c| c.heat = f64::NAN)),
        with(|h| change(&mut h.bands[0], |_, c| c.monitored = f64::INFINITY)),
        with(|h| {
            h.bands[0].cells = Cells::default();
            h.bands = vec![h.bands[0].clone(); 2000];
        }),
        with(|h| {
            h.bands[0].cells = Cells::default();
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

/// Every look of one scene, at one cell per pixel.
#[test]
fn looks_are_as_blessed() {
    let (width, height) = (400, 240);
    let scene = scenes::islands();
    for (name, scale, palette, pool) in [
        ("linear-inferno", Scale::Linear, Palette::Inferno, Pool::Mean),
        ("log-viridis", Scale::Log, Palette::Viridis, Pool::Mean),
        ("rank-cividis", Scale::Rank, Palette::Cividis, Pool::Max),
        ("rank-magma", Scale::Rank, Palette::Magma, Pool::Mean),
        ("sqrt-grey", Scale::Sqrt, Palette::Grey, Pool::Max),
    ] {
        let mut data = drawn(&scene, width, height);
        let ranks = data.heatmap.ranks(pool);
        data.look = Look { scale, palette, pool, ranks };
        let png = heatmap::heatmap_png(&data.picture(), width, height).unwrap();
        check(&format!("islands.{name}.png"), &png);
    }
}

#[test]
fn pictures_have_few_enough_colours_for_a_palette() {
    for (scene, palette) in [
        (scenes::islands(), Palette::Dusk),
        (scenes::two_level(), Palette::Inferno),
        (scenes::sparse(), Palette::Viridis),
        (scenes::holes(), Palette::Cividis),
        (scenes::crowd(), Palette::Grey),
    ] {
        let mut data = drawn(&scene, 1280, 800);
        data.look.palette = palette;
        let png = heatmap::heatmap_png(&data.picture(), 1280, 800).unwrap();
        let info = png::Decoder::new(std::io::Cursor::new(&png)).read_info().unwrap();
        assert_eq!(info.info().color_type, png::ColorType::Indexed, "{}", scene.name);
    }
}

#[test]
fn small_hot_places_survive_where_the_highest_rate_stands_for_a_cell() {
    let scene = scenes::idle();
    let mut data = drawn(&scene, 640, 480);
    let cold = pixels(&heatmap::heatmap_png(&data.picture(), 640, 480).unwrap()).2;
    let mut all = 0;
    change(&mut data.heatmap.bands[1], |index, cell| {
        all += 1;
        cell.max_rate = if index % 1000 == 0 { 1.0 } else { cell.max_rate };
    });
    let mean = pixels(&heatmap::heatmap_png(&data.picture(), 640, 480).unwrap()).2;
    assert!(mean == cold);
    data.look.pool = Pool::Max;
    let max = pixels(&heatmap::heatmap_png(&data.picture(), 640, 480).unwrap()).2;
    let changed = cold.chunks(3).zip(max.chunks(3)).filter(|(a, b)| a != b).count();
    assert!(changed >= all / 1000, "{changed}");
}

/// Checks what XML asks of a document: names of elements nest, attributes are quoted, `&` begins one of the five
/// entities, characters are allowed ones.
fn well_formed(document: &str) -> Result<(), String> {
    let allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    if let Some(c) = document.chars().find(|c| !allowed(*c)) {
        return Err(format!("character {c:?}"));
    }
    for after in document.split('&').skip(1) {
        let entities = ["amp;", "lt;", "gt;", "quot;", "apos;"];
        if !entities.iter().any(|e| after.starts_with(e)) {
            return Err(format!("entity {:?}", after.chars().take(8).collect::<String>()));
        }
    }
    let mut open: Vec<&str> = Vec::new();
    for piece in document.split('<').skip(1) {
        let (tag, text) = piece.split_once('>').ok_or("a tag without end")?;
        if text.contains('>') {
            return Err(format!("text {text:?}"));
        }
        if let Some(name) = tag.strip_prefix('/') {
            if open.pop() != Some(name) {
                return Err(format!("{name} closes nothing"));
            }
            continue;
        }
        let name = tag.split([' ', '/']).next().unwrap_or_default();
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphabetic()) {
            return Err(format!("element {name:?}"));
        }
        let quotes = tag.matches('"').count();
        if quotes % 2 == 1 || tag.matches('=').count() < quotes / 2 {
            return Err(format!("attributes of {name}"));
        }
        if !tag.ends_with('/') {
            open.push(name);
        }
    }
    if open.is_empty() { Ok(()) } else { Err(format!("{open:?} stay open")) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn svg_is_valid_whatever_things_are_called(
        hostile in prop::collection::vec(any::<char>(), 0..30),
        pick in prop::sample::select(vec!["]]>", "\"'><", "&#0;&lt", "<!--", "\u{fffe}\u{0}\u{1b}"]),
    ) {
        let name: String = hostile.into_iter().chain(pick.chars()).collect();
        let mut data = drawn(&scenes::holes(), 1280, 800);
        data.heatmap.bands[0].mappings[0].name.clone_from(&name);
        data.heatmap.targets[0].comm.clone_from(&name);
        for mark in &mut data.marks {
            mark.text.clone_from(&name);
        }
        let picture = heatmap::Picture { title: &name, subtitle: &name, ..data.picture() };
        let svg = heatmap::heatmap_svg(&picture, 1280, 800).unwrap();
        prop_assert_eq!(well_formed(&svg), Ok(()));
        // One raster for the cells; the legend has its gradient and its swatch.
        prop_assert_eq!(svg.matches("<image").count(), 3);
        prop_assert!(!svg.contains("href=\"http"));
    }
}

#[test]
fn marks_are_lines_with_their_names() {
    let scene = scenes::holes();
    let mut data = drawn(&scene, 1280, 800);
    let svg = heatmap::heatmap_svg(&data.picture(), 1280, 800).unwrap();
    for name in [">load<", ">compile &lt;&amp;&quot;&gt;", ">end<"] {
        assert!(svg.contains(name), "{name}");
    }
    let with = pixels(&heatmap::heatmap_png(&data.picture(), 1280, 800).unwrap()).2;
    data.marks.iter_mut().for_each(|mark| mark.time_ns = 0);
    let without = pixels(&heatmap::heatmap_png(&data.picture(), 1280, 800).unwrap()).2;
    assert!(with != without);
    let grid = terminal::heatmap_grid(100, 24, &scene.ranges(), Colours::None, scene.extras());
    let text = terminal::heatmap(&scene.data(&grid).picture(), 100, 24, Colours::None);
    let line = text.lines().nth(2).unwrap();
    assert!(line.contains("|load") && line.contains("|compile"), "{line}");
}

#[test]
fn absurd_sizes_are_refused_with_a_sentence() {
    for (width, height) in [(0, 0), (319, 200), (320, 199), (10_001, 500), (u32::MAX, u32::MAX)] {
        let error = heatmap::grid(width, height, &[], Extras::default()).unwrap_err();
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
    change(&mut data.heatmap.bands[1], |index, cell| {
        if index == row * columns + column {
            cell.heat = cell.monitored;
        }
    });
    let hot = pixels(&heatmap::heatmap_png(&data.picture(), width, height).unwrap()).2;
    let changed = cold.chunks(3).zip(hot.chunks(3)).filter(|(a, b)| a != b).count();
    assert_eq!(changed, 1);
}
