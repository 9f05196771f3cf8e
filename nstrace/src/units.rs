//! Numbers for people: three digits and a unit, SI prefixes.

/// Unit of rates and totals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Units {
    /// Bits per second; totals in bytes all the same, as everybody counts them.
    #[default]
    Bits,
    /// Bytes per second.
    Bytes,
}

impl Units {
    /// A rate that is given in bits per second.
    #[must_use]
    pub fn rate(self, bps: u64) -> String {
        match self {
            Self::Bits => format!("{}b", scaled(bps)),
            Self::Bytes => format!("{}B", scaled(bps / 8)),
        }
    }

    /// The other unit.
    #[must_use]
    pub const fn toggled(self) -> Self {
        match self {
            Self::Bits => Self::Bytes,
            Self::Bytes => Self::Bits,
        }
    }

    /// What a rate of one is called.
    #[must_use]
    pub const fn per_second(self) -> &'static str {
        match self {
            Self::Bits => "bit/s",
            Self::Bytes => "B/s",
        }
    }
}

/// An amount of bytes.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    format!("{}B", scaled(bytes))
}

/// A count, cut to three digits: `999`, `1.23k`, `45.6M`.
#[must_use]
pub fn scaled(value: u64) -> String {
    const PREFIXES: [&str; 6] = ["k", "M", "G", "T", "P", "E"];
    if value < 1000 {
        return value.to_string();
    }
    let mut unit: u64 = 1000;
    for (at, prefix) in PREFIXES.iter().enumerate() {
        // In whole numbers, so that 999,999 is 999k and never 1000k.
        let is_last = at + 1 == PREFIXES.len();
        if is_last || value / unit < 1000 {
            let hundredths = u128::from(value) * 100 / u128::from(unit);
            let (whole, rest) = (hundredths / 100, hundredths % 100);
            return match whole {
                0..10 => format!("{whole}.{rest:02}{prefix}"),
                10..100 => format!("{whole}.{}{prefix}", rest / 10),
                _ => format!("{whole}{prefix}"),
            };
        }
        unit *= 1000;
    }
    value.to_string()
}

/// A time of hours, minutes and seconds.
#[must_use]
pub fn clock(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{hours}:{minutes:02}:{seconds:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_are_shown_and_never_rounded_up() {
        for (value, shown) in [
            (0, "0"),
            (999, "999"),
            (1000, "1.00k"),
            (1999, "1.99k"),
            (45_678, "45.6k"),
            (999_999, "999k"),
            (1_000_000, "1.00M"),
            (u64::MAX, "18.4E"),
        ] {
            assert_eq!(scaled(value), shown);
        }
    }

    #[test]
    fn a_rate_says_its_unit() {
        assert_eq!(Units::Bits.rate(8_000_000), "8.00Mb");
        assert_eq!(Units::Bytes.rate(8_000_000), "1.00MB");
    }

    #[test]
    fn hours_do_not_wrap() {
        assert_eq!(clock(3 * 24 * 3600 + 61), "72:01:01");
    }
}
