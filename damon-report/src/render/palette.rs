//! Palettes: ways through a perceptually uniform space, distinguishable without colour vision.
//!
//! All are polylines in `OKLab` (Björn Ottosson, "A perceptual color space for image processing", 2020:
//! <https://bottosson.github.io/posts/oklab/>), walked in steps of equal colour difference. Lightness changes one way all along,
//! so that a picture survives a black-and-white printer. Only operations that IEEE 754 defines exactly are used:
//! the colours are the same on every machine.

use super::colour::Rgb;
use super::num::byte;
use std::ops::RangeInclusive;

/// A colour in `OKLab`: lightness 0..1, green–red, blue–yellow.
pub(super) type Lab = [f64; 3];

/// Which colours rates become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Palette {
    /// Pale blue for never, then yellow, red, dark violet: for white pages.
    #[default]
    Dusk,
    /// Black, violet, red, yellow.
    Inferno,
    /// Violet, green, yellow.
    Viridis,
    /// Blue, grey, yellow: looks nearly the same with and without red-green vision.
    Cividis,
    /// Black, violet, pink, white.
    Magma,
    /// Pale to dark grey: for printing.
    Grey,
}

impl Palette {
    /// Whether hot is bright and memory that nobody touches dark.
    pub(super) fn is_dark(self) -> bool {
        !matches!(self, Self::Dusk | Self::Grey)
    }
}

/// Lightness that can be told from black as well as from white.
const MIDDLE: RangeInclusive<f64> = 0.40..=0.86;

/// Control points of [`Palette::Dusk`]: in `OKLCH` (0.95, 0.03, 215°), (0.95, 0.22, 100°), (0.60, 0.30, 25°), (0.26, 0.12, 310°).
const DUSK: [Lab; 4] = [
    [0.95, -0.024_57, -0.017_21],
    [0.95, -0.038_20, 0.216_66],
    [0.60, 0.271_89, 0.126_79],
    [0.26, 0.077_13, -0.091_93],
];

/// A way through `OKLab` as a polyline with the length up to each point.
pub(super) struct Ramp {
    points: Vec<(f64, Lab)>,
}

impl Ramp {
    pub(super) fn new(palette: Palette) -> Self {
        let through = |points: &[Lab]| Self::along(points.iter().copied());
        match palette {
            Palette::Dusk => {
                const STEPS: u32 = 1024;
                Self::along((0..=STEPS).map(|step| bezier(f64::from(step) / f64::from(STEPS))))
            }
            Palette::Inferno => through(&INFERNO),
            Palette::Viridis => through(&VIRIDIS),
            Palette::Cividis => through(&CIVIDIS),
            Palette::Magma => through(&MAGMA),
            Palette::Grey => through(&[[0.95, 0.0, 0.0], [0.15, 0.0, 0.0]]),
        }
    }

    /// Along these points.
    pub(super) fn along(way: impl Iterator<Item = Lab>) -> Self {
        let mut points: Vec<(f64, Lab)> = Vec::new();
        let mut length = 0.0;
        for here in way {
            if let Some((_, previous)) = points.last() {
                length += distance(previous, &here);
            }
            points.push((length, here));
        }
        Self { points }
    }

    /// The colour after `share` (0..1) of the whole way.
    pub(super) fn lab(&self, share: f64) -> Lab {
        let total = self.points.last().map_or(0.0, |p| p.0);
        let wanted = share.clamp(0.0, 1.0) * total;
        let after = self.points.partition_point(|p| p.0 < wanted).max(1);
        match self.points.get(after - 1..=after) {
            Some(&[(from, low), (to, high)]) if to > from => {
                let part = ((wanted - from) / (to - from)).clamp(0.0, 1.0);
                let mut lab = low;
                for (value, (low, high)) in lab.iter_mut().zip(low.iter().zip(&high)) {
                    *value = low + (high - low) * part;
                }
                lab
            }
            _ => self.points.last().map_or([1.0, 0.0, 0.0], |p| p.1),
        }
    }

    pub(super) fn at(&self, share: f64) -> Rgb {
        let [r, g, b] = linear_srgb(&self.lab(share));
        (encode(r), encode(g), encode(b))
    }

    /// The ends, dark and bright, of the part whose lightness stands out from black and from white.
    pub(super) fn middle(&self) -> (f64, f64) {
        const STEPS: u32 = 500;
        let shares = (0..=STEPS).map(|step| f64::from(step) / f64::from(STEPS));
        let good = |share: &f64| MIDDLE.contains(&self.lab(*share)[0]);
        let mut good = shares.filter(good);
        let first = good.next().unwrap_or(0.0);
        let last = good.next_back().unwrap_or(1.0);
        let rises = self.lab(first)[0] < self.lab(last)[0];
        if rises { (first, last) } else { (last, first) }
    }
}

fn bezier(t: f64) -> Lab {
    let u = 1.0 - t;
    let weights = [u * u * u, 3.0 * u * u * t, 3.0 * u * t * t, t * t * t];
    let mut lab = [0.0; 3];
    for (weight, point) in weights.iter().zip(&DUSK) {
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

/// Seventeen evenly spaced colours of each of four published palettes, converted to `OKLab`. Inferno, magma and
/// viridis are by Stéfan van der Walt and Nathaniel Smith (matplotlib, CC0), cividis by Jamie Nuñez, Christopher Anderton and
/// Ryan Renslow (PLOS ONE 13(7), 2018).
const INFERNO: [Lab; 17] = [
    [0.053_5, 0.004_9, -0.027_6],
    [0.157_5, 0.013_6, -0.056_3],
    [0.233_6, 0.038_4, -0.098_6],
    [0.295_9, 0.078_3, -0.119_4],
    [0.347_8, 0.110_3, -0.106_2],
    [0.396_5, 0.133_5, -0.079_4],
    [0.444_4, 0.150_6, -0.045_6],
    [0.492_4, 0.161_6, -0.006_5],
    [0.541_0, 0.165_0, 0.035_2],
    [0.587_5, 0.160_2, 0.072_6],
    [0.638_3, 0.145_8, 0.106_1],
    [0.690_4, 0.121_3, 0.131_5],
    [0.743_8, 0.087_4, 0.149_5],
    [0.798_8, 0.045_9, 0.160_6],
    [0.855_5, 0.000_3, 0.162_5],
    [0.914_6, -0.039_3, 0.146_3],
    [0.977_0, -0.037_7, 0.105_3],
];

const VIRIDIS: [Lab; 17] = [
    [0.285_4, 0.101_6, -0.091_0],
    [0.330_7, 0.081_5, -0.108_8],
    [0.372_6, 0.053_7, -0.115_6],
    [0.411_5, 0.022_4, -0.111_0],
    [0.448_7, -0.007_5, -0.097_8],
    [0.485_2, -0.033_2, -0.079_9],
    [0.521_7, -0.055_0, -0.060_5],
    [0.558_4, -0.074_5, -0.040_2],
    [0.595_4, -0.093_1, -0.018_2],
    [0.630_5, -0.109_9, 0.005_1],
    [0.668_4, -0.125_9, 0.033_7],
    [0.707_2, -0.137_3, 0.065_7],
    [0.746_9, -0.140_8, 0.099_4],
    [0.787_8, -0.132_9, 0.131_5],
    [0.830_0, -0.111_5, 0.158_1],
    [0.873_4, -0.077_9, 0.175_5],
    [0.918_1, -0.038_8, 0.181_9],
];

const CIVIDIS: [Lab; 17] = [
    [0.260_3, -0.021_5, -0.086_5],
    [0.313_3, -0.024_2, -0.112_7],
    [0.351_4, -0.015_3, -0.100_6],
    [0.389_8, -0.005_8, -0.073_7],
    [0.428_5, -0.001_8, -0.050_9],
    [0.467_3, -0.000_3, -0.032_2],
    [0.506_3, 0.000_1, -0.016_9],
    [0.545_6, -0.000_1, -0.004_7],
    [0.585_1, -0.000_6, 0.005_5],
    [0.622_1, -0.001_8, 0.021_7],
    [0.662_0, -0.004_0, 0.041_2],
    [0.702_6, -0.007_0, 0.062_4],
    [0.744_0, -0.010_9, 0.084_8],
    [0.786_4, -0.015_6, 0.108_0],
    [0.829_9, -0.020_9, 0.131_9],
    [0.874_7, -0.026_6, 0.156_0],
    [0.921_0, -0.036_5, 0.175_8],
];

const MAGMA: [Lab; 17] = [
    [0.053_5, 0.004_9, -0.027_6],
    [0.156_8, 0.011_4, -0.051_9],
    [0.232_2, 0.027_5, -0.090_9],
    [0.298_1, 0.060_3, -0.128_9],
    [0.352_3, 0.095_5, -0.131_5],
    [0.401_0, 0.121_2, -0.112_5],
    [0.448_6, 0.141_9, -0.086_9],
    [0.496_1, 0.159_6, -0.057_0],
    [0.543_9, 0.173_7, -0.022_5],
    [0.589_5, 0.180_8, 0.013_5],
    [0.639_2, 0.176_6, 0.052_1],
    [0.690_8, 0.154_0, 0.081_4],
    [0.744_1, 0.118_4, 0.094_7],
    [0.799_2, 0.079_8, 0.097_1],
    [0.856_4, 0.042_2, 0.093_1],
    [0.915_8, 0.006_9, 0.085_2],
    [0.977_9, -0.025_1, 0.074_5],
];

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Palette; 6] = [
        Palette::Dusk,
        Palette::Inferno,
        Palette::Viridis,
        Palette::Cividis,
        Palette::Magma,
        Palette::Grey,
    ];

    #[test]
    fn lightness_goes_one_way_all_along() {
        for palette in ALL {
            let ramp = Ramp::new(palette);
            let lightness: Vec<f64> =
                (0..=1000).map(|i| ramp.lab(f64::from(i) / 1000.0)[0]).collect();
            let falls = lightness.iter().rev().is_sorted();
            assert!(lightness.is_sorted() || falls, "{palette:?}");
            assert_eq!(falls, !palette.is_dark());
            let range = (lightness[0] - lightness[1000]).abs();
            assert!(range > 0.55, "{palette:?}: {range}");
        }
    }

    #[test]
    fn steps_look_equally_large() {
        for palette in ALL {
            let ramp = Ramp::new(palette);
            let steps: Vec<f64> = (0..100)
                .map(|i| {
                    let i = f64::from(i);
                    distance(&ramp.lab(i / 100.0), &ramp.lab((i + 1.0) / 100.0))
                })
                .collect();
            let mean = steps.iter().sum::<f64>() / 100.0;
            for (i, step) in steps.iter().enumerate() {
                assert!((step / mean - 1.0).abs() < 0.15, "{palette:?} step {i}: {step}, {mean}");
            }
        }
    }

    #[test]
    fn no_colour_is_clipped() {
        for palette in ALL {
            let ramp = Ramp::new(palette);
            for i in 0..=1000 {
                for part in linear_srgb(&ramp.lab(f64::from(i) / 1000.0)) {
                    assert!((-0.004..=1.004).contains(&part), "{palette:?} at {i}: {part}");
                }
            }
        }
    }

    #[test]
    fn published_palettes_begin_and_end_as_published() {
        let near =
            |a: Rgb, b: Rgb| a.0.abs_diff(b.0).max(a.1.abs_diff(b.1)).max(a.2.abs_diff(b.2)) <= 1;
        for (palette, first, last) in [
            (Palette::Viridis, (68, 1, 84), (253, 231, 37)),
            (Palette::Cividis, (0, 34, 78), (254, 232, 56)),
            (Palette::Inferno, (0, 0, 4), (252, 255, 164)),
            (Palette::Magma, (0, 0, 4), (252, 253, 191)),
        ] {
            let ramp = Ramp::new(palette);
            assert!(near(ramp.at(0.0), first) && near(ramp.at(1.0), last), "{palette:?}");
        }
    }

    #[test]
    fn the_middle_stands_out_from_usual_backgrounds() {
        // Black, #1e1e1e, Solarized's two, white.
        let backgrounds: [Lab; 5] = [
            [0.0, 0.0, 0.0],
            [0.235, 0.0, 0.0],
            [0.267, -0.033, -0.036],
            [0.973, 0.001, 0.023],
            [1.0, 0.0, 0.0],
        ];
        for palette in ALL {
            let ramp = Ramp::new(palette);
            let (dark, bright) = ramp.middle();
            assert!(ramp.lab(dark)[0] + 0.3 < ramp.lab(bright)[0], "{palette:?}");
            for i in 0..=20 {
                let lab = ramp.lab(dark + (bright - dark) * f64::from(i) / 20.0);
                for background in &backgrounds {
                    let apart = distance(&lab, background);
                    assert!(apart > 0.1, "{palette:?} {i}: {apart} from {background:?}");
                }
            }
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
