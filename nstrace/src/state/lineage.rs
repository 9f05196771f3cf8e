//! How many interfaces of each name there have been: a pod that is made anew has its predecessor's
//! name, and is another all the same.

use std::collections::HashMap;

/// Names that are remembered. On a node where more come and go, the oldest begin anew.
const MAX_NAMES: usize = 8192;

/// Counts of names.
#[derive(Debug, Default)]
pub(super) struct Lineages {
    /// By names of namespace and interface: how many, and when the last one came.
    known: HashMap<(String, String), (u64, u64)>,
    came: u64,
}

impl Lineages {
    /// The number of one that is called so from now on; the first is 1.
    pub(super) fn next(&mut self, (netns, iface): (&str, &str)) -> u64 {
        self.came += 1;
        if self.known.len() >= MAX_NAMES {
            // The older half at once, so that not every newcomer looks at all.
            let mut ages: Vec<u64> = self.known.values().map(|(_, came)| *came).collect();
            let (_, median, _) = ages.select_nth_unstable(MAX_NAMES / 2);
            let median = *median;
            self.known.retain(|_, (_, came)| *came > median);
        }
        let name = (netns.to_owned(), iface.to_owned());
        let (count, came) = self.known.entry(name).or_default();
        *count += 1;
        *came = self.came;
        *count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_counted_by_itself() {
        let mut lineages = Lineages::default();
        let counts = [
            ("web", "eth0"),
            ("db", "eth0"),
            ("web", "eth0"),
            ("web", "net1"),
        ]
        .map(|name| lineages.next(name));
        assert_eq!(counts, [1, 1, 2, 1]);
    }

    #[test]
    fn names_that_come_without_end_take_no_more_room_and_cost_the_oldest() {
        let mut lineages = Lineages::default();
        for number in 0..3 * MAX_NAMES {
            lineages.next(("web", "eth0"));
            lineages.next((&number.to_string(), "eth0"));
            assert!(lineages.known.len() <= MAX_NAMES);
        }
        let expected = 3 * MAX_NAMES as u64 + 1;
        assert_eq!(
            lineages.next(("web", "eth0")),
            expected,
            "it has come of late"
        );
        assert_eq!(lineages.next(("0", "eth0")), 1, "it was forgotten");
    }
}
