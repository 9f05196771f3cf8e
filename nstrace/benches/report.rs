//! What was measured, as a table while it goes and as one JSON document at the end.

use std::fs;

use serde::Serialize;

use crate::goals::{self, Bound};

const SCHEMA: &str = "nstrace.bench/v1";
const HEAD: [&str; 7] = [
    "NAME", "VALUE", "P25", "UNIT", "BASELINE", "GOAL", "STRETCH",
];

/// One result, without what the table of goals knows of it.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    name: &'static str,
    value: f64,
    p25: Option<f64>,
    baseline: Option<Baseline>,
}

/// What a value was compared with, in the same run.
#[derive(Clone, Debug, Serialize)]
struct Baseline {
    name: &'static str,
    value: f64,
}

impl Measured {
    pub(crate) fn new(name: &'static str, value: f64) -> Self {
        Self {
            name,
            value,
            p25: None,
            baseline: None,
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// The same of the first quartiles, where the value is of the least.
    pub(crate) fn p25(mut self, value: f64) -> Self {
        self.p25 = Some(value);
        self
    }

    pub(crate) fn baseline(mut self, name: &'static str, value: f64) -> Self {
        self.baseline = Some(Baseline { name, value });
        self
    }
}

/// A result as it is written.
#[derive(Clone, Debug, Serialize)]
struct Entry {
    name: &'static str,
    value: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    p25: Option<f64>,
    unit: &'static str,
    goal: Option<Bound>,
    stretch: Option<Bound>,
    baseline: Option<Baseline>,
}

/// The machine. Single figures mean nothing without it.
#[derive(Clone, Debug, Serialize)]
struct Host {
    kernel: String,
    cpu: String,
    cpus: usize,
    memory_mib: u64,
    bpf_jit_harden: String,
    is_quick: bool,
}

/// All of it.
#[derive(Debug)]
pub(crate) struct Report {
    host: Host,
    results: Vec<Entry>,
}

/// How the document is laid out.
#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    host: &'a Host,
    results: &'a [Entry],
}

impl Report {
    pub(crate) fn new(is_quick: bool) -> Self {
        let report = Self {
            host: Host::look(is_quick),
            results: Vec::new(),
        };
        let Host {
            kernel, cpu, cpus, ..
        } = &report.host;
        println!("Linux {kernel}, {cpus} CPUs, {cpu}");
        print_row(HEAD.map(str::to_owned));
        report
    }

    /// Prints a result and keeps it.
    pub(crate) fn add(&mut self, value: Measured) {
        let goal = goals::of(value.name);
        let entry = Entry {
            name: value.name,
            value: value.value,
            p25: value.p25,
            unit: goal.unit,
            goal: goal.goal,
            stretch: goal.stretch,
            baseline: value.baseline,
        };
        print_row(entry.cells());
        self.results.push(entry);
    }

    /// Names of the ceilings that were passed.
    pub(crate) fn above_ceiling(&self) -> Vec<&'static str> {
        self.missed()
            .filter(|name| name.starts_with("insns."))
            .collect()
    }

    fn missed(&self) -> impl Iterator<Item = &'static str> {
        let is_missed = |entry: &&Entry| entry.goal.is_some_and(|goal| !goal.holds(entry.value));
        self.results
            .iter()
            .filter(is_missed)
            .map(|entry| entry.name)
    }

    /// Says how it went.
    pub(crate) fn summarize(&self) {
        let missed: Vec<_> = self.missed().collect();
        let with_goal = self.results.iter().filter(|entry| entry.goal.is_some());
        let (with_goal, count) = (with_goal.count(), missed.len());
        println!("{} of {with_goal} goals are met", with_goal - count);
        if !missed.is_empty() {
            println!("missed: {}", missed.join(" "));
        }
    }

    /// Writes the document.
    pub(crate) fn write(&self, path: &str) {
        let document = Document {
            schema: SCHEMA,
            host: &self.host,
            results: &self.results,
        };
        let mut text = serde_json::to_string_pretty(&document).unwrap();
        text.push('\n');
        fs::write(path, text).unwrap_or_else(|error| panic!("write {path}: {error}"));
    }
}

impl Entry {
    fn cells(&self) -> [String; 7] {
        let verdict = |bound: Option<Bound>| {
            let Some(bound) = bound else {
                return String::new();
            };
            let mark = if bound.holds(self.value) {
                ""
            } else {
                " missed"
            };
            match bound {
                Bound::Max(bound) => format!("<= {bound}{mark}"),
                Bound::Min(bound) => format!(">= {bound}{mark}"),
            }
        };
        let baseline = self.baseline.as_ref();
        [
            self.name.to_owned(),
            number(self.value),
            self.p25.map(number).unwrap_or_default(),
            self.unit.to_owned(),
            baseline.map_or_else(String::new, |baseline| {
                format!("{} {}", baseline.name, number(baseline.value))
            }),
            verdict(self.goal),
            verdict(self.stretch),
        ]
    }
}

/// As many digits as mean something.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        ..0.1 if value.fract() != 0.0 => 4,
        0.1..10.0 if value.fract() != 0.0 => 2,
        10.0..100.0 if value.fract() != 0.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$}")
}

fn print_row([name, value, p25, unit, baseline, goal, stretch]: [String; 7]) {
    let line =
        format!("{name:<30} {value:>9} {p25:>9} {unit:<6} {baseline:<20} {goal:<16} {stretch:<16}");
    println!("{}", line.trim_end());
}

impl Host {
    fn look(is_quick: bool) -> Self {
        let field = |path: &str, name: &str| {
            let text = fs::read_to_string(path).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with(name));
            let value = line.and_then(|line| line.split_once(':'));
            value.map_or_else(String::new, |(_, value)| value.trim().to_owned())
        };
        let memory = field("/proc/meminfo", "MemTotal");
        let kib = memory
            .split_whitespace()
            .next()
            .and_then(|n| n.parse().ok());
        Self {
            kernel: nstrace::sys::kernel_release(),
            cpu: field("/proc/cpuinfo", "model name"),
            cpus: std::thread::available_parallelism().map_or(0, usize::from),
            memory_mib: kib.unwrap_or(0_u64) >> 10,
            bpf_jit_harden: setting("net/core/bpf_jit_harden"),
            is_quick,
        }
    }
}

/// A sysctl, or nothing.
pub(crate) fn setting(name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/sys/{name}")).unwrap_or_default();
    text.trim().to_owned()
}
