//! A forecast as a picture: how many snapshots there are, and how long each of them lives.

use std::fmt::Write as _;

use crate::model::retention::{Forecast, Life, SeriesForecast};

const WIDTH: f64 = 960.0;
const MARGIN: f64 = 12.0;
const CURVE: f64 = 80.0;
const ROW: f64 = 3.0;
const TITLE: f64 = 22.0;

/// The most bars drawn for a series: those of the longest lives.
const MAX_BARS: usize = 150;

/// The forecast as an SVG document.
pub fn forecast(forecast: &Forecast) -> String {
    let (from, to) = (second(&forecast.from), second(&forecast.to));
    let mut body = String::new();
    let mut top = MARGIN;
    for series in &forecast.series {
        top = draw(&mut body, series, (from, to), top);
    }
    let range = format!("{} to {}", escaped(&forecast.from), escaped(&forecast.to));
    let _ = writeln!(body, r#"<text x="{MARGIN}" y="{:.0}" class="q">{range}</text>"#, top + 12.0);
    format!(
        concat!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:.0}" font-family="sans-serif">"#,
            "\n<style>text{{font-size:13px;fill:#222}}.q{{fill:#777;font-size:11px}}",
            ".b{{stroke:#2a7f62;stroke-width:2}}.c{{fill:none;stroke:#b5541c;stroke-width:1.2}}</style>\n",
            r##"<rect width="100%" height="100%" fill="#fff"/>"##,
            "\n{body}</svg>\n"
        ),
        width = WIDTH,
        height = top + 24.0,
        body = body,
    )
}

/// One series from `top` down; returns where it ends.
fn draw(body: &mut String, series: &SeriesForecast, (from, to): (i64, i64), top: f64) -> f64 {
    let x = |at: i64| {
        let part = (at - from) as f64 / (to - from).max(1) as f64;
        MARGIN + part.clamp(0.0, 1.0) * (WIDTH - 2.0 * MARGIN)
    };
    let name = series.series.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
    let title = format!("{}{name}: {} taken, at most {}", series.owner, series.taken, series.peak);
    let _ = writeln!(body, r#"<text x="{MARGIN}" y="{:.0}">{}</text>"#, top + 14.0, escaped(&title));
    let base = top + TITLE + CURVE;
    let points: Vec<String> = curve(&series.lives, from, to)
        .into_iter()
        .map(|(at, count)| format!("{:.1},{:.1}", x(at), base - CURVE * count as f64 / series.peak.max(1) as f64))
        .collect();
    let _ = writeln!(body, r#"<polyline class="c" points="{}"/>"#, points.join(" "));
    let mut longest: Vec<&Life> = series.lives.iter().collect();
    let end = |life: &Life| life.gone.unwrap_or(to);
    longest.sort_by_key(|life| (std::cmp::Reverse(end(life) - life.taken), life.taken));
    longest.truncate(MAX_BARS);
    longest.sort_by_key(|life| life.taken);
    let mut row = base + 8.0;
    for life in longest {
        let (start, end) = (x(life.taken), x(end(life)));
        let _ = writeln!(body, r#"<line class="b" x1="{start:.1}" x2="{end:.1}" y1="{row:.1}" y2="{row:.1}"/>"#);
        row += ROW;
    }
    row + MARGIN
}

/// The most snapshots there are in each stretch that is one unit of the picture wide.
fn curve(lives: &[Life], from: i64, to: i64) -> Vec<(i64, usize)> {
    let mut changes: Vec<(i64, i64)> = lives.iter().map(|life| (life.taken, 1)).collect();
    changes.extend(lives.iter().filter_map(|life| Some((life.gone?, -1))));
    // What is taken at an instant is there before anything is deleted.
    changes.sort_by_key(|(at, change)| (*at, -change));
    let step = ((to - from) / WIDTH as i64).max(1);
    let (mut points, mut count, mut most, mut edge): (Vec<(i64, usize)>, i64, i64, i64) =
        (Vec::new(), 0, 0, from + step);
    for (at, change) in changes {
        while at >= edge && edge <= to {
            points.push((edge, most.max(0) as usize));
            most = count;
            edge += step;
        }
        count += change;
        most = most.max(count);
    }
    points.extend([(edge.min(to), most.max(0) as usize), (to, count.max(0) as usize)]);
    points
}

fn second(text: &str) -> i64 {
    text.parse::<jiff::Timestamp>().map(jiff::Timestamp::as_second).unwrap_or_default()
}

fn escaped(text: &str) -> String {
    crate::model::text::printable(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::retention::{ForecastSummary, Steady};

    #[test]
    fn the_picture_is_xml_with_a_bar_for_each_life() {
        let day = 86_400;
        let lives = vec![Life { taken: 0, gone: Some(2 * day) }, Life { taken: day, gone: None }];
        let series = SeriesForecast {
            owner: "default/<&>".to_owned(),
            series: Some("daily".to_owned()),
            cron: "@daily".to_owned(),
            taken: 2,
            peak: 2,
            steady: Steady { least: 1, most: 1, growing: false },
            chain: None,
            gaps: Vec::new(),
            left: Vec::new(),
            lives: lives.clone(),
        };
        let picture = forecast(&Forecast {
            format_version: 1,
            from: "1970-01-01T00:00:00Z".to_owned(),
            to: "1970-01-05T00:00:00Z".to_owned(),
            summary: ForecastSummary { series: 1, peak: 2 },
            series: vec![series],
        });
        let document = roxmltree::Document::parse(&picture).unwrap();
        let bars: Vec<_> = document.descendants().filter(|node| node.has_tag_name("line")).collect();
        assert_eq!(bars.iter().map(|bar| bar.attribute("x2").unwrap()).collect::<Vec<_>>(), ["480.0", "948.0"]);
        assert!(document.descendants().any(|node| node.text() == Some("default/<&> daily: 2 taken, at most 2")));
        let counts: Vec<_> = curve(&lives, 0, 4 * day).iter().map(|(_, count)| *count).collect();
        assert_eq!((counts[0], counts[300], *counts.last().unwrap()), (1, 2, 1));
    }
}
