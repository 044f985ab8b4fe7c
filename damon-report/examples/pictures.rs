//! Draws synthetic recordings, to be looked at: `cargo run --example pictures -- DIRECTORY [WIDTH HEIGHT]`.

#[path = "../tests/scenes/mod.rs"]
mod scenes;

use damon_report::render::terminal::{self, Colours};
use damon_report::render::{heatmap, wss};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let directory = std::path::PathBuf::from(args.next().unwrap_or_else(|| "pictures".to_owned()));
    let width = args.next().map_or(Ok(1200), |w| w.parse())?;
    let height = args.next().map_or(Ok(800), |h| h.parse())?;
    std::fs::create_dir_all(&directory)?;
    for scene in scenes::all() {
        let grid = heatmap::grid(width, height, &scene.ranges(), scene.extras())?;
        let data = scene.data(&grid);
        let picture = data.picture();
        let path = |kind: &str| directory.join(format!("{}-{width}x{height}.{kind}", scene.name));
        std::fs::write(path("png"), heatmap::heatmap_png(&picture, width, height)?)?;
        let working_set = data.wss_picture();
        std::fs::write(path("wss.png"), wss::wss_png(&working_set, width, height)?)?;
        std::fs::write(path("wss.svg"), wss::wss_svg(&working_set, width, height)?)?;
        for (columns, colours) in [
            (120, Colours::None),
            (20, Colours::None),
            (120, Colours::True),
            (60, Colours::Palette),
        ] {
            let grid =
                terminal::heatmap_grid(columns, 24, &scene.ranges(), colours, scene.extras());
            let data = scene.data(&grid);
            let mut text = terminal::heatmap(&data.picture(), columns, 24, colours);
            text.push_str(&terminal::wss(&data.wss_picture(), columns, colours));
            std::fs::write(path(&format!("{columns}.{colours:?}.txt")), text)?;
        }
        std::fs::write(path("svg"), heatmap::heatmap_svg(&picture, width, height)?)?;
    }
    Ok(())
}
