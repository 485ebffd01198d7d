//! Simulations and comparisons of retention as text.

use super::layout::Page;
use crate::model::retention::{
    Basis, Because, Comparison, Engine, EngineSummary, Forecast, Gap, Simulated, Simulation, Steady,
};
use crate::model::text::{count, printable};
use crate::report::style::{Palette, Role};

/// What a policy would do to a list: one line for each snapshot, then the sum.
pub fn simulation(simulation: &Simulation, palette: Palette) -> String {
    let mut page = Page::new(palette);
    let wide = |text: &str| printable(text).chars().count();
    let names = simulation.snapshots.iter().map(|snapshot| wide(&snapshot.name)).max().unwrap_or(0);
    let times = simulation.snapshots.iter().map(|snapshot| wide(&snapshot.time)).max().unwrap_or(0);
    for snapshot in &simulation.snapshots {
        let Simulated { name, time, keep, reasons, saved_by } = snapshot;
        let (word, role) = word(*keep);
        let saved = saved_by.as_ref().map(|change| format!("; {change} would keep it")).unwrap_or_default();
        let (name, time) = (printable(name), printable(time));
        let place = format!("{}  {name:<names$}  {time:<times$}  ", palette.paint(role, &format!("{word:<6}")));
        page.line(0, &format!("{place}{}{saved}", texts(reasons)));
    }
    page.section();
    left_out(&mut page, std::slice::from_ref(&simulation.summary));
    let EngineSummary { engine, kept, deleted, .. } = &simulation.summary;
    let by = if *engine == Engine::Snapward { String::new() } else { format!(", as {} does it", engine.name()) };
    let sum = format!("{} of {} kept{by}", kept, count(kept + deleted, "snapshot", "snapshots"));
    page.painted(0, Role::Heading, &format!("{sum}, {}.", under(&simulation.basis)));
    page.finish()
}

/// Where the engines do not agree: one paragraph for each such snapshot, then the sums.
pub fn comparison(comparison: &Comparison, palette: Palette) -> String {
    let mut page = Page::new(palette);
    let summary = &comparison.summary;
    let widest = summary.engines.iter().map(|summary| summary.engine.name().len()).max().unwrap_or(0);
    for snapshot in comparison.snapshots.iter().filter(|snapshot| snapshot.differs) {
        page.section();
        page.painted(0, Role::Heading, &format!("{}  {}", printable(&snapshot.name), printable(&snapshot.time)));
        for verdict in &snapshot.verdicts {
            let (word, role) = word(verdict.keep);
            let word = palette.paint(role, &format!("{word:<6}"));
            page.line(2, &format!("{:<widest$}  {word}  {}", verdict.engine.name(), texts(&verdict.reasons)));
        }
    }
    page.section();
    for EngineSummary { engine, kept, .. } in &summary.engines {
        page.line(0, &format!("{:<widest$}  keeps {kept} of {}", engine.name(), summary.snapshots));
    }
    left_out(&mut page, &summary.engines);
    let differing = match summary.differing {
        0 => format!("All agree on {}", count(summary.snapshots, "snapshot", "snapshots")),
        differing => format!("They differ on {differing} of {}", count(summary.snapshots, "snapshot", "snapshots")),
    };
    page.painted(0, Role::Heading, &format!("{differing}, {}.", under(&comparison.basis)));
    page.finish()
}

fn word(keep: bool) -> (&'static str, Role) {
    if keep { ("keep", Role::Create) } else { ("delete", Role::Delete) }
}

fn texts(reasons: &[Because]) -> String {
    reasons.iter().map(|reason| printable(&reason.text)).collect::<Vec<_>>().join("; ")
}

fn under(Basis { policy, at, time_zone }: &Basis) -> String {
    format!("under {policy} in {time_zone} as of {at}")
}

/// What had no part in a decision, for each engine.
fn left_out(page: &mut Page, engines: &[EngineSummary]) {
    for EngineSummary { engine, left_out, .. } in engines.iter().filter(|summary| !summary.left_out.is_empty()) {
        let text = format!("{} has nothing like {}: left out for it.", engine.name(), left_out.join(", "));
        page.wrapped(0, "", Some(Role::Blocked), &text);
    }
}

/// What series come to: one paragraph each.
pub fn forecast(forecast: &Forecast, palette: Palette) -> String {
    let mut page = Page::new(palette);
    for series in &forecast.series {
        page.section();
        let name = series.series.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
        page.painted(0, Role::Heading, &printable(&format!("{}{name}: {}", series.owner, series.cron)));
        let Steady { least, most, growing } = series.steady;
        let steady = if least == most { format!("{least}") } else { format!("{least} to {most}") };
        page.line(2, &format!("{:<12}{steady} snapshots after each pass", "steady"));
        page.line(2, &format!("{:<12}{} of {} taken", "peak", series.peak, series.taken));
        if let Some(chain) = series.chain {
            page.line(2, &format!("{:<12}{chain} images with the first one", "chain"));
        }
        for Gap { days, seconds } in &series.gaps {
            let age = count(usize::try_from(*days).unwrap_or_default(), "day", "days");
            page.line(2, &format!("{:<12}{} between two of the last {age}", "worst gap", long(*seconds)));
        }
        if growing {
            page.wrapped(2, "", Some(Role::Blocked), "Still growing: give a longer time to see where it ends.");
        }
    }
    page.section();
    let sum = format!("At most {} at a time", count(forecast.summary.peak, "snapshot", "snapshots"));
    page.painted(0, Role::Heading, &format!("{sum}, from {} to {}.", forecast.from, forecast.to));
    page.finish()
}

/// `36 h`, from three days on `3.0 days`.
fn long(seconds: i64) -> String {
    match seconds {
        0..3_600 => format!("{} min", seconds / 60),
        3_600..259_200 => format!("{:.0} h", seconds as f64 / 3_600.0),
        _ => format!("{:.1} days", seconds as f64 / 86_400.0),
    }
}
