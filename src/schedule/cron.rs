//! Cron expressions of five fields, as crontab(5) of Vixie cron describes them, read into bit masks.

use std::fmt;

use jiff::civil::{Date, Weekday};

use crate::model::text::printable;

/// A cron expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cron {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    /// Sunday is bit 0.
    weekdays: u64,
    /// Whether the hours are written with `*`: then the schedule follows elapsed time and not the clock on the wall.
    any_hour: bool,
    /// Whether both day fields restrict the days: then a day that fits either of them fits. A field that begins with `*`,
    /// also `*/2`, does not count as restricting (Vixie cron's DOM_STAR and DOW_STAR).
    either_day: bool,
}

/// What is wrong with a cron expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CronError {
    /// What is wrong, with the field's name.
    pub text: String,
    /// What is allowed.
    pub help: String,
}

impl fmt::Display for CronError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.text, self.help)
    }
}

impl std::error::Error for CronError {}

/// One of the five fields.
struct Field {
    name: &'static str,
    min: u32,
    max: u32,
    names: &'static [&'static str],
}

const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

const MINUTE: Field = Field { name: "minute", min: 0, max: 59, names: &[] };
const HOUR: Field = Field { name: "hour", min: 0, max: 23, names: &[] };
const DAY: Field = Field { name: "day of month", min: 1, max: 31, names: &[] };
const MONTH: Field = Field { name: "month", min: 1, max: 12, names: &MONTHS };
// 7 is Sunday too, so that FRI-SUN can be written as 5-7.
const WEEKDAY: Field = Field { name: "day of week", min: 0, max: 7, names: &WEEKDAYS };

/// The words that stand for five fields.
const MACROS: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

const FORM: &str = "write five fields: minute, hour, day of month, month, day of week, as \"0 * * * *\"; or @hourly, \
                    @daily, @weekly, @monthly, @yearly";

impl Cron {
    /// Reads an expression.
    ///
    /// # Errors
    /// A [`CronError`] that names the field and what it allows; also for a schedule that never fires (`0 0 30 2 *`).
    pub fn parse(text: &str) -> Result<Self, CronError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(CronError { text: "a cron expression must not be empty".to_owned(), help: FORM.to_owned() });
        }
        let expanded = match MACROS.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)) {
            Some((_, fields)) => fields,
            None if text.starts_with('@') => {
                let text = format!("`{}` is no schedule", printable(text));
                return Err(CronError { text, help: FORM.to_owned() });
            }
            None => text,
        };
        let fields: Vec<&str> = expanded.split_ascii_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields.as_slice() else {
            let text = format!("a cron expression has five fields, not {}", fields.len());
            return Err(CronError { text, help: FORM.to_owned() });
        };
        let mut weekdays = WEEKDAY.mask(weekday)?;
        weekdays = (weekdays | weekdays >> 7) & 0x7f;
        let cron = Self {
            minutes: MINUTE.mask(minute)?,
            hours: HOUR.mask(hour)?,
            days: DAY.mask(day)?,
            months: MONTH.mask(month)?,
            weekdays,
            any_hour: hour.contains('*'),
            either_day: !day.starts_with('*') && !weekday.starts_with('*'),
        };
        if !cron.fires() {
            let text = "this schedule never fires: none of its months has such a day of month".to_owned();
            return Err(CronError { text, help: "write a day that one of the months has, as 28".to_owned() });
        }
        Ok(cron)
    }

    /// Whether there is a day that fits. Every date falls on every day of the week within the calendar's 400 years, the
    /// 29th of February too, so the two day fields together exclude a date only for some years.
    fn fires(&self) -> bool {
        const LONGEST: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let fits = |(month, days): (u32, &u32)| has(self.months, month) && self.days.trailing_zeros() <= *days;
        self.either_day || (1..).zip(&LONGEST).any(fits)
    }

    /// Whether a day fits.
    pub fn fits_day(&self, date: Date) -> bool {
        if !has(self.months, narrow(date.month())) {
            return false;
        }
        let by_month = has(self.days, narrow(date.day()));
        let by_week = has(self.weekdays, weekday_number(date.weekday()));
        if self.either_day { by_month || by_week } else { by_month && by_week }
    }

    /// The times of a day that fits, as hour and minute, in order.
    pub fn times(&self) -> impl Iterator<Item = (i8, i8)> + use<> {
        let Self { hours, minutes, .. } = *self;
        let of = |mask: u64, end: i8| (0..end).filter(move |bit| mask >> bit & 1 == 1);
        of(hours, 24).flat_map(move |hour| of(minutes, 60).map(move |minute| (hour, minute)))
    }

    /// Whether the hours are written with `*`.
    pub fn follows_elapsed_time(&self) -> bool {
        self.any_hour
    }
}

fn has(mask: u64, bit: u32) -> bool {
    mask >> bit & 1 == 1
}

/// Months and days of jiff are small and positive.
fn narrow(value: i8) -> u32 {
    u32::try_from(value).unwrap_or_default()
}

fn weekday_number(day: Weekday) -> u32 {
    narrow(day.to_sunday_zero_offset())
}

impl Field {
    /// The values that the field's text stands for.
    fn mask(&self, text: &str) -> Result<u64, CronError> {
        text.split(',').try_fold(0, |mask, part| Ok(mask | self.part(part)?))
    }

    /// `*`, `a`, `a-b`, each of the two ranges also with `/step`.
    fn part(&self, part: &str) -> Result<u64, CronError> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (part, None),
        };
        let (from, to) = match range.split_once('-') {
            // 7 is Sunday once more, not an eighth day.
            None if range == "*" => (self.min, if self.max == 7 { 6 } else { self.max }),
            None => {
                let value = self.value(range, part)?;
                if step.is_some() {
                    let meant = format!("{range}-{}/{}", self.max, step.unwrap_or_default());
                    return Err(self.fault(part, &format!("a step needs a range, as {}", printable(&meant))));
                }
                (value, value)
            }
            Some((from, to)) => {
                let (from, mut to) = (self.value(from, part)?, self.value(to, part)?);
                if self.max == 7 && to == 0 && from > 0 {
                    to = 7;
                }
                if from > to {
                    return Err(self.fault(part, "a range goes from the smaller to the larger value"));
                }
                (from, to)
            }
        };
        let step = match step {
            None => 1,
            Some(text) => match text.parse::<u32>() {
                // A step beyond the range is one value in disguise, and most likely a mistake.
                Ok(step) if step >= 1 && step <= (to - from).max(1) => step,
                _ => return Err(self.fault(part, &format!("a step is 1 to {}", (to - from).max(1)))),
            },
        };
        Ok((from..=to).step_by(step as usize).fold(0, |mask, value| mask | 1 << value))
    }

    /// One value; `part` is what a message shows.
    fn value(&self, text: &str, part: &str) -> Result<u32, CronError> {
        if let Some(index) = self.names.iter().position(|name| name.eq_ignore_ascii_case(text)) {
            // Names are few; the first stands for the smallest value.
            return Ok(self.min + u32::try_from(index).unwrap_or_default());
        }
        let digits = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
        match text.parse::<u32>() {
            Ok(value) if digits && value >= self.min && value <= self.max => Ok(value),
            _ => Err(self.fault(part, &self.allowed())),
        }
    }

    fn allowed(&self) -> String {
        let names = match self.names {
            [first, .., last] => format!(", or {first} to {last}"),
            _ => String::new(),
        };
        let sunday = if self.max == 7 { " (0 and 7 are Sunday)" } else { "" };
        format!("it takes {} to {}{sunday}{names}; *, lists (1,3), ranges (1-5) and steps (*/2)", self.min, self.max)
    }

    fn fault(&self, text: &str, help: &str) -> CronError {
        CronError { text: format!("`{}` is no {}", printable(text), self.name), help: help.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(cron: &str, year: i16, month: i8) -> Vec<i8> {
        let cron = Cron::parse(cron).unwrap_or_else(|error| panic!("{cron}: {error}"));
        let first = jiff::civil::date(year, month, 1);
        first
            .series(jiff::Span::new().days(1))
            .take_while(|d| d.month() == month)
            .filter(|d| cron.fits_day(*d))
            .map(Date::day)
            .collect()
    }

    fn times(cron: &str) -> Vec<(i8, i8)> {
        Cron::parse(cron).unwrap_or_else(|error| panic!("{cron}: {error}")).times().collect()
    }

    #[test]
    fn fields_are_lists_of_values_ranges_and_steps() {
        assert_eq!(times("0 4 * * *"), [(4, 0)]);
        assert_eq!(times("*/20 1,3 * * *"), [(1, 0), (1, 20), (1, 40), (3, 0), (3, 20), (3, 40)]);
        assert_eq!(times("5-20/10,59 0 * * *"), [(0, 5), (0, 15), (0, 59)]);
        assert_eq!(times("0 22-23 * * *"), [(22, 0), (23, 0)]);
        assert_eq!(times("@hourly").len(), 24);
        assert_eq!(days("0 0 * * SUN", 2026, 11), [1, 8, 15, 22, 29]);
        assert_eq!(days("0 0 * * 7", 2026, 11), days("0 0 * * 0", 2026, 11));
        assert_eq!(days("0 0 * * fri-sun", 2026, 11), days("0 0 * * 0,5,6", 2026, 11));
        assert_eq!(days("0 0 1 JAN,dec *", 2026, 12), [1]);
        assert_eq!(days("@monthly", 2026, 11), [1]);
        assert_eq!(days("@Weekly", 2026, 11), days("0 0 * * 0", 2026, 11));
        assert_eq!((days("@yearly", 2026, 1), days("@yearly", 2026, 2)), (vec![1], vec![]));
    }

    #[test]
    fn two_day_fields_fit_either_unless_one_begins_with_a_star() {
        assert_eq!(days("0 0 13 * FRI", 2026, 11), [6, 13, 20, 27], "crontab(5): either field");
        assert_eq!(days("0 0 1 * MON", 2026, 11), [1, 2, 9, 16, 23, 30]);
        assert_eq!(days("0 0 */10 * SUN", 2026, 11), [1], "1, 11, 21, 31 and a Sunday");
        assert_eq!(days("0 0 13 * */2", 2026, 11), [] as [i8; 0], "the 13th is a Friday");
        assert_eq!(days("0 0 30 2 MON", 2026, 2), [2, 9, 16, 23], "either field, so it fires");
    }

    #[test]
    fn what_is_wrong_names_the_field_and_what_it_takes() {
        let text = |cron: &str| Cron::parse(cron).expect_err(cron).to_string();
        let wrong = [
            "61 * * * *",
            "0 24 * * *",
            "0 0 0 * *",
            "0 0 * FEBRUARY *",
            "0 0 * * 8",
            "0 5/2 * * *",
            "0 5-3 * * *",
            "*/60 * * * *",
            "0 */0 * * *",
            "0 0 1- * *",
            "0,, 0 * * *",
            "-1 * * * *",
            "0 0 +1 * *",
            "0 0 30 2 *",
            "* * * *",
            "@reboot",
        ];
        insta::assert_snapshot!(wrong.map(text).join("\n"), @r#"
            `61` is no minute; it takes 0 to 59; *, lists (1,3), ranges (1-5) and steps (*/2)
            `24` is no hour; it takes 0 to 23; *, lists (1,3), ranges (1-5) and steps (*/2)
            `0` is no day of month; it takes 1 to 31; *, lists (1,3), ranges (1-5) and steps (*/2)
            `FEBRUARY` is no month; it takes 1 to 12, or JAN to DEC; *, lists (1,3), ranges (1-5) and steps (*/2)
            `8` is no day of week; it takes 0 to 7 (0 and 7 are Sunday), or SUN to SAT; *, lists (1,3), ranges (1-5) and steps (*/2)
            `5/2` is no hour; a step needs a range, as 5-23/2
            `5-3` is no hour; a range goes from the smaller to the larger value
            `*/60` is no minute; a step is 1 to 59
            `*/0` is no hour; a step is 1 to 23
            `1-` is no day of month; it takes 1 to 31; *, lists (1,3), ranges (1-5) and steps (*/2)
            `` is no minute; it takes 0 to 59; *, lists (1,3), ranges (1-5) and steps (*/2)
            `-1` is no minute; it takes 0 to 59; *, lists (1,3), ranges (1-5) and steps (*/2)
            `+1` is no day of month; it takes 1 to 31; *, lists (1,3), ranges (1-5) and steps (*/2)
            this schedule never fires: none of its months has such a day of month; write a day that one of the months has, as 28
            a cron expression has five fields, not 4; write five fields: minute, hour, day of month, month, day of week, as "0 * * * *"; or @hourly, @daily, @weekly, @monthly, @yearly
            `@reboot` is no schedule; write five fields: minute, hour, day of month, month, day of week, as "0 * * * *"; or @hourly, @daily, @weekly, @monthly, @yearly
            "#);
    }

    #[test]
    fn only_what_never_fires_is_refused_for_it() {
        for never in ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 30,31 2 *"] {
            assert!(Cron::parse(never).expect_err(never).text.contains("never fires"), "{never}");
        }
        for rare in ["0 0 29 2 *", "0 0 29 2 */6", "0 0 31 4,5 *"] {
            assert!(Cron::parse(rare).is_ok(), "{rare}");
        }
    }
}
