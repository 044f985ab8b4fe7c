//! The colour map: rates to colours, perceptually uniform, distinguishable without colour vision.
//!
//! The ramp is one cubic Bézier curve in `OKLab` (Björn Ottosson, "A perceptual color space for image
//! processing", 2020: <https://bottosson.github.io/posts/oklab/>) from a pale icy blue to a dark violet,
//! walked in steps of equal colour difference. Lightness falls all the way, so that the picture survives
//! a black-and-white printer. Only operations that IEEE 754 defines exactly are used: the table is the
//! same on every machine.

use super::num::{byte, float_of, round};

/// An sRGB colour.
pub type Rgb = (u8, u8, u8);

/// The page.
pub(super) const PAGE: Rgb = (255, 255, 255);
/// Titles, axis lines.
pub(super) const INK: Rgb = (33, 37, 41);
/// Secondary text.
pub(super) const GREY_INK: Rgb = (95, 102, 110);
/// Frames.
pub(super) const FRAME: Rgb = (140, 147, 155);
/// Grid lines.
pub(super) const GRID: Rgb = (222, 226, 230);
/// The two colours of the "not monitored" hatching.
pub(super) const HATCH: [Rgb; 2] = [(246, 246, 246), (196, 199, 203)];

/// How a rate becomes a position on the colour ramp.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scale {
    /// Proportional to the rate.
    Linear,
    /// Proportional to the square root of the rate: spreads the low rates, where idle and
    /// almost idle memory must be told apart.
    #[default]
    Sqrt,
    /// Logarithmic from 0.1 % to 100 %; lower rates look like 0.1 %.
    Log,
}

impl Scale {
    /// Position of a rate, 0..1; rates are clamped to 0..1.
    pub fn position(self, rate: f64) -> f64 {
        let rate = if rate > 0.0 { rate.min(1.0) } else { 0.0 };
        match self {
            Self::Linear => rate,
            Self::Sqrt => rate.sqrt(),
            Self::Log if rate <= 0.001 => 0.0,
            Self::Log => 1.0 + rate.log10() / 3.0,
        }
    }

    /// The word for legends and options.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Sqrt => "square root",
            Self::Log => "logarithmic",
        }
    }

    /// Rates, in per cent, at which a colour bar deserves a label.
    pub(super) fn landmarks(self) -> &'static [f64] {
        match self {
            Self::Linear => &[0.0, 25.0, 50.0, 75.0, 100.0],
            Self::Sqrt => &[0.0, 5.0, 25.0, 50.0, 100.0],
            Self::Log => &[0.1, 1.0, 10.0, 100.0],
        }
    }
}

/// Index of a colour in the table: 0 is a rate of exactly zero.
pub(super) type Level = u8;

/// The highest level, a rate of 1.
pub(super) const TOP: Level = 250;

/// Where on the ramp the smallest rate above zero lies: visibly apart from zero.
const FIRST_STEP: f64 = 0.10;

/// The colours of all levels.
#[derive(Clone, Debug)]
pub(super) struct ColourMap {
    table: Vec<Rgb>,
    scale: Scale,
}

impl ColourMap {
    pub(super) fn new(scale: Scale) -> Self {
        let ramp = Ramp::new();
        let mut table = vec![ramp.at(0.0)];
        for level in 1..=TOP {
            let share = f64::from(level - 1) / f64::from(TOP - 1);
            table.push(ramp.at(FIRST_STEP + (1.0 - FIRST_STEP) * share));
        }
        Self { table, scale }
    }

    /// The level of a rate; any rate above zero has a level above zero.
    pub(super) fn level(&self, rate: f64) -> Level {
        if rate > 0.0 {
            let steps = round(self.scale.position(rate) * f64::from(TOP - 1));
            u8::try_from(steps + 1).unwrap_or(TOP).min(TOP)
        } else {
            0
        }
    }

    /// The colour of a level.
    pub(super) fn colour(&self, level: Level) -> Rgb {
        self.table.get(usize::from(level.min(TOP))).copied().unwrap_or(PAGE)
    }
}

/// A colour in `OKLab`: lightness 0..1, green–red, blue–yellow.
type Lab = [f64; 3];

/// Control points: in `OKLCH` (0.95, 0.03, 215°), (0.95, 0.22, 100°), (0.60, 0.30, 25°), (0.26, 0.12, 310°).
const CONTROL: [Lab; 4] = [
    [0.95, -0.024_57, -0.017_21],
    [0.95, -0.038_20, 0.216_66],
    [0.60, 0.271_89, 0.126_79],
    [0.26, 0.077_13, -0.091_93],
];

/// The Bézier curve as a polyline with the length up to each point.
struct Ramp {
    points: Vec<(f64, Lab)>,
}

impl Ramp {
    fn new() -> Self {
        const STEPS: u32 = 1024;
        let mut points: Vec<(f64, Lab)> = Vec::new();
        let mut length = 0.0;
        for step in 0..=STEPS {
            let here = bezier(f64::from(step) / f64::from(STEPS));
            if let Some((_, previous)) = points.last() {
                length += distance(previous, &here);
            }
            points.push((length, here));
        }
        Self { points }
    }

    /// The colour after `share` (0..1) of the whole way.
    fn lab(&self, share: f64) -> Lab {
        let total = self.points.last().map_or(0.0, |p| p.0);
        let wanted = share.clamp(0.0, 1.0) * total;
        let after = self.points.partition_point(|p| p.0 < wanted);
        let last = self.points.len().saturating_sub(1);
        self.points.get(after.min(last)).map_or([1.0, 0.0, 0.0], |p| p.1)
    }

    fn at(&self, share: f64) -> Rgb {
        let [r, g, b] = linear_srgb(&self.lab(share));
        (encode(r), encode(g), encode(b))
    }
}

fn bezier(t: f64) -> Lab {
    let u = 1.0 - t;
    let weights = [u * u * u, 3.0 * u * u * t, 3.0 * u * t * t, t * t * t];
    let mut lab = [0.0; 3];
    for (weight, point) in weights.iter().zip(&CONTROL) {
        for (sum, part) in lab.iter_mut().zip(point) {
            *sum += weight * part;
        }
    }
    lab
}

fn distance(from: &Lab, to: &Lab) -> f64 {
    let squares: f64 = from.iter().zip(to).map(|(a, b)| (a - b) * (a - b)).sum();
    squares.sqrt()
}

/// `OKLab` to linear sRGB with Ottosson's matrices.
fn linear_srgb(lab: &Lab) -> [f64; 3] {
    let [lightness, green_red, blue_yellow] = *lab;
    let cube = |x: f64| x * x * x;
    let l = cube(lightness + 0.396_337_777_4 * green_red + 0.215_803_757_3 * blue_yellow);
    let m = cube(lightness - 0.105_561_345_8 * green_red - 0.063_854_172_8 * blue_yellow);
    let s = cube(lightness - 0.089_484_177_5 * green_red - 1.291_485_548 * blue_yellow);
    [
        4.076_741_662_1 * l - 3.307_711_591_3 * m + 0.230_969_929_2 * s,
        -1.268_438_004_6 * l + 2.609_757_401_1 * m - 0.341_319_396_5 * s,
        -0.004_196_086_3 * l - 0.703_418_614_7 * m + 1.707_614_701 * s,
    ]
}

/// The sRGB transfer function, to a byte.
fn encode(linear: f64) -> u8 {
    let x = linear.clamp(0.0, 1.0);
    let value = if x <= 0.003_130_8 { 12.92 * x } else { 1.055 * root_2_4(x) - 0.055 };
    byte(value * 255.0)
}

/// x^(1/2.4) = cbrt(sqrt(sqrt(x^5))) for 0 < x ≤ 1, the cube root by Newton's method.
fn root_2_4(x: f64) -> f64 {
    let fourth_root = (x * x * x * x * x).sqrt().sqrt();
    let mut root = 1.0;
    for _ in 0..60 {
        root = (2.0 * root + fourth_root / (root * root)) / 3.0;
    }
    root
}

/// The level shown at a pixel of a colour bar, which begins at the smallest rate above zero.
pub(super) fn bar_level(index: usize, length: usize) -> Level {
    let last = length.saturating_sub(1).max(1);
    1 + byte(float_of(index) / float_of(last) * f64::from(TOP - 1)).min(TOP - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lightness_falls_all_the_way() {
        let ramp = Ramp::new();
        let mut previous = f64::INFINITY;
        for i in 0..=1000 {
            let [lightness, ..] = ramp.lab(f64::from(i) / 1000.0);
            assert!(lightness <= previous, "at {i}: {lightness} after {previous}");
            previous = lightness;
        }
        assert!(previous < 0.3);
    }

    #[test]
    fn steps_look_equally_large() {
        let ramp = Ramp::new();
        let steps: Vec<f64> = (0..100)
            .map(|i| {
                let i = f64::from(i);
                distance(&ramp.lab(i / 100.0), &ramp.lab((i + 1.0) / 100.0))
            })
            .collect();
        let mean = steps.iter().sum::<f64>() / 100.0;
        for (i, step) in steps.iter().enumerate() {
            assert!((step / mean - 1.0).abs() < 0.15, "step {i}: {step}, mean {mean}");
        }
    }

    #[test]
    fn no_colour_is_clipped() {
        let ramp = Ramp::new();
        for i in 0..=1000 {
            for part in linear_srgb(&ramp.lab(f64::from(i) / 1000.0)) {
                assert!((-0.000_5..=1.000_5).contains(&part), "at {i}: {part}");
            }
        }
    }

    #[test]
    fn zero_differs_from_the_smallest_rate_and_from_not_monitored() {
        for scale in [Scale::Linear, Scale::Sqrt, Scale::Log] {
            let map = ColourMap::new(scale);
            assert_eq!(map.level(0.0), 0);
            assert_eq!(map.level(f64::NAN), 0);
            assert_eq!(map.level(1e-12), 1);
            assert_eq!(map.level(1.0), TOP);
            assert_eq!(map.level(1.05), TOP);
            assert_ne!(map.colour(0), map.colour(1));
            assert!(!HATCH.contains(&map.colour(0)));
            let levels: Vec<Level> = (0..=100).map(|i| map.level(f64::from(i) / 100.0)).collect();
            assert!(levels.is_sorted());
        }
    }

    #[test]
    fn transfer_function_matches_srgb() {
        // Reference values of IEC 61966-2-1: linear 0.5 is 187.5 of 255, 0.21586 is 128.
        assert_eq!(encode(0.0), 0);
        assert_eq!(encode(1.0), 255);
        assert_eq!(encode(0.5), 188);
        assert_eq!(encode(0.215_860_5), 128);
        assert_eq!(encode(0.002), 7);
    }
}
