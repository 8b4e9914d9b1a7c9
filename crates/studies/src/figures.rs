//! Figures as people read them.

use std::time::Duration;

/// `2,000,000`.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 study`, `2,000 studies`.
pub(crate) fn pluralize(count: u64, one: &str, more: &str) -> String {
    format!("{} {}", grouped(count), if count == 1 { one } else { more })
}

/// `512 B`, `1.50 MiB`.
pub(crate) fn bytes(count: u64) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match units.into_iter().find(|(_, bits)| count >> bits > 0) {
        Some((unit, bits)) => {
            let hundredths = (u128::from(count) * 100) >> bits;
            format!("{}.{:02} {unit}", grouped(count >> bits), hundredths % 100)
        }
        None => format!("{} B", grouped(count)),
    }
}

/// `90 seconds`, `2 minutes`, `2 hours`: whole ones.
pub(crate) fn roughly(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ ..120 => pluralize(seconds, "second", "seconds"),
        seconds @ ..7200 => format!("{} minutes", seconds / 60),
        seconds => format!("{} hours", grouped(seconds / 3600)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_separators_and_units() {
        for (count, text) in
            [(0, "0"), (999, "999"), (1_000, "1,000"), (999_999, "999,999"), (1_000_000, "1,000,000")]
        {
            assert_eq!(grouped(count), text);
        }
        for (count, text) in [
            (0, "0 B"),
            (1_023, "1,023 B"),
            (1_024, "1.00 KiB"),
            ((1 << 20) - 1, "1,023.99 KiB"),
            (3 << 19, "1.50 MiB"),
            (2 << 40, "2,048.00 GiB"),
        ] {
            assert_eq!(bytes(count), text);
        }
        for (seconds, text) in [
            (1, "1 second"),
            (119, "119 seconds"),
            (120, "2 minutes"),
            (7_199, "119 minutes"),
            (7_200, "2 hours"),
        ] {
            assert_eq!(roughly(Duration::from_secs(seconds)), text);
        }
    }
}
