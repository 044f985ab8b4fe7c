//! Colours of changes: blue for less, nearly white for none, orange for more. Blue and orange are told apart with any colour
//! vision, and equal changes either way are equally light.

use super::colour::Rgb;
use super::num::round;
use super::palette::{Lab, Ramp};

/// No change.
const NONE: Lab = [0.965, 0.0, 0.0];
/// In `OKLCH` (0.80, 0.09, 245°), (0.60, 0.13, 252°), (0.38, 0.14, 262°).
const LESS: [Lab; 3] =
    [[0.80, -0.038_04, -0.081_57], [0.60, -0.040_17, -0.123_64], [0.38, -0.019_48, -0.138_64]];
/// In `OKLCH` (0.83, 0.11, 68°), (0.64, 0.145, 48°), (0.42, 0.12, 38°).
const MORE: [Lab; 3] =
    [[0.83, 0.041_21, 0.101_99], [0.64, 0.097_02, 0.107_76], [0.42, 0.094_56, 0.073_88]];

/// Steps either way: too small to be seen, and few enough for a PNG of 256 colours.
const STEPS: i32 = 60;

/// The colours of all steps.
pub(super) struct Diverging {
    less: Vec<Rgb>,
    more: Vec<Rgb>,
}

impl Diverging {
    pub(super) fn new() -> Self {
        let way = |points: &[Lab]| {
            let ramp = Ramp::along(std::iter::once(NONE).chain(points.iter().copied()));
            (0..=STEPS).map(|step| ramp.at(f64::from(step) / f64::from(STEPS))).collect()
        };
        Self { less: way(&LESS), more: way(&MORE) }
    }

    /// Of a change as a share of the scale, -1..1; beyond it, as at its end.
    pub(super) fn colour(&self, share: f64) -> Rgb {
        let step = round(share * f64::from(STEPS)).clamp(-STEPS, STEPS);
        let way = if step < 0 { &self.less } else { &self.more };
        let place = usize::try_from(step.unsigned_abs()).unwrap_or(0);
        way.get(place).copied().unwrap_or((255, 255, 255))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Roughly how light a colour looks, 0..255.
    fn light((r, g, b): Rgb) -> f64 {
        0.3 * f64::from(r) + 0.59 * f64::from(g) + 0.11 * f64::from(b)
    }

    #[test]
    fn more_and_less_are_equally_far_from_nothing() {
        let map = Diverging::new();
        assert_eq!(map.colour(0.0), map.colour(0.001));
        for step in 1..=10 {
            let share = f64::from(step) / 10.0;
            let (more, less) = (map.colour(share), map.colour(-share));
            assert!((light(more) - light(less)).abs() < 25.0, "{share}: {more:?} {less:?}");
            assert!(light(more) < light(map.colour(share - 0.1)));
            assert!(light(less) < light(map.colour(0.1 - share)));
            // What tells them apart is blue against yellow, which all but very few people see.
            assert!(less.2 > less.0 && more.0 > more.2);
        }
        assert_eq!(map.colour(2.0), map.colour(1.0));
        assert_eq!(map.colour(f64::NAN), map.colour(0.0));
    }
}
