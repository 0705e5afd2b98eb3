//! The tables that are printed.

use std::fmt;

use crate::measure::Load;

/// A figure beside what it is compared with, and how far it was meant to go.
pub struct Figure {
    pub name: String,
    pub ours: f64,
    pub beside: &'static str,
    /// None where it could not be measured here.
    pub theirs: Option<f64>,
    pub goal: Goal,
}

/// What the ratio of ours to theirs is to be.
#[derive(Clone, Copy)]
pub enum Goal {
    /// Nothing was set: the figure is for orientation.
    None,
    AtLeast {
        floor: f64,
        aim: f64,
    },
    AtMost {
        floor: f64,
        aim: f64,
    },
}

impl Goal {
    fn verdict(self, ratio: f64) -> &'static str {
        let (floor, aim) = match self {
            Self::None => return "",
            Self::AtLeast { floor, aim } => (ratio >= floor, ratio >= aim),
            Self::AtMost { floor, aim } => (ratio <= floor, ratio <= aim),
        };
        match (floor, aim) {
            (false, _) => "short",
            (true, false) => "reached",
            (true, true) => "reached, and the aim",
        }
    }

    fn bounds(self) -> (String, String) {
        match self {
            Self::None => (String::new(), String::new()),
            Self::AtLeast { floor, aim } => (format!("{floor:.2}×"), format!("{aim:.2}×")),
            Self::AtMost { floor, aim } => (format!("≤ {floor:.2}×"), format!("≤ {aim:.2}×")),
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (floor, aim) = self.goal.bounds();
        let (theirs, ratio, verdict) = match self.theirs {
            None => ("-".to_owned(), "-".to_owned(), "not measured"),
            Some(theirs) => {
                let ratio = self.ours / theirs;
                let verdict = self.goal.verdict(ratio);
                (number(theirs), format!("{ratio:.2}×"), verdict)
            }
        };
        write!(
            to,
            "{:<44} {:>9}  {:<28} {:>9} {:>8} {:>8} {:>8}  {}",
            self.name,
            number(self.ours),
            self.beside,
            theirs,
            ratio,
            floor,
            aim,
            verdict
        )
    }
}

/// Whole where it is large, with decimals where it is small.
fn number(it: f64) -> String {
    if it >= 100.0 {
        format!("{it:.0}")
    } else {
        format!("{it:.2}")
    }
}

/// Prints the figures.
pub fn print(figures: &[Figure]) {
    println!(
        "\n{:<44} {:>9}  {:<28} {:>9} {:>8} {:>8} {:>8}",
        "figure", "ours", "beside", "theirs", "ratio", "floor", "aim"
    );
    for figure in figures {
        println!("{figure}");
    }
}

/// Prints what each load cost: what dominates is read from it.
pub fn print_costs(loads: &[(String, Load)]) {
    println!(
        "\n{:<20} {:>10} {:>9} {:>9} {:>14} {:>14} {:>8} {:>8}",
        "load",
        "commands/s",
        "p50 ms",
        "p99 ms",
        "service µs/c",
        "database µs/c",
        "cores s",
        "cores d"
    );
    for (name, load) in loads {
        let (service, database) = load.cores();
        println!(
            "{name:<20} {:>10.0} {:>9.2} {:>9.2} {:>14.1} {:>14.1} {service:>8.2} {database:>8.2}",
            load.rate(),
            load.percentile_ms(500),
            load.percentile_ms(990),
            load.cpu_us(load.cpu.service),
            load.cpu_us(load.cpu.database),
        );
    }
}
