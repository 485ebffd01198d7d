//! What the manifests of a case ask for, in a form of the proof's own: rendered as YAML for snapward, and read by the
//! promises, which know nothing of the planner.

use std::fmt::Write as _;

use super::model::Random;

/// The names that manifests and other hands share.
pub(crate) const NAMES: [&str; 6] = ["golden", "base", "patched", "e1", "e2", "e3"];

/// The manifests of a case.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wish {
    pub(crate) sets: Vec<Set>,
    pub(crate) reverts: Vec<Revert>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Set {
    pub(crate) name: &'static str,
    pub(crate) domains: &'static [&'static str],
    pub(crate) suspended: bool,
    pub(crate) external: bool,
    pub(crate) snapshots: Vec<Snapshot>,
    pub(crate) series: Vec<Series>,
    pub(crate) current: Option<&'static str>,
    pub(crate) holds: Vec<String>,
    pub(crate) safety: Option<Safety>,
}

#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) name: &'static str,
    pub(crate) content: &'static str,
    pub(crate) absent: bool,
    pub(crate) adopt: bool,
    pub(crate) recreate: bool,
    pub(crate) protect: Option<bool>,
    pub(crate) delete_after_hours: Option<i64>,
    pub(crate) parent: Option<&'static str>,
    pub(crate) description: Option<u8>,
    pub(crate) when: &'static str,
    /// Never captured, only adopted: of whatever kind it is.
    pub(crate) only_adopted: bool,
    /// The place of the overlays is given, and not left to snapward.
    pub(crate) file: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct Series {
    pub(crate) name: &'static str,
    pub(crate) content: &'static str,
    pub(crate) cron: &'static str,
    pub(crate) absent: bool,
    pub(crate) prune: bool,
    pub(crate) last: usize,
    pub(crate) hourly: usize,
    pub(crate) within_hours: Option<i64>,
    pub(crate) minimum_age_hours: Option<i64>,
    pub(crate) minimum_count: usize,
}

#[derive(Debug, Clone)]
pub(crate) struct Safety {
    pub(crate) per_domain: usize,
    pub(crate) per_host: usize,
    pub(crate) percent: usize,
    pub(crate) allow_empty: bool,
    pub(crate) chain_limit: usize,
    pub(crate) free_percent: u64,
    pub(crate) trust: bool,
    /// The hour at which it opens for deletions and reverts, and for how many.
    pub(crate) window: Option<(i64, i64)>,
}

impl Default for Safety {
    fn default() -> Self {
        Self {
            per_domain: 10,
            per_host: 50,
            percent: 50,
            allow_empty: false,
            chain_limit: 20,
            free_percent: 10,
            trust: false,
            window: None,
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Revert {
    pub(crate) name: &'static str,
    pub(crate) domains: &'static [&'static str],
    pub(crate) to: &'static str,
    pub(crate) token: String,
    pub(crate) expires: i64,
    pub(crate) power: &'static str,
    pub(crate) keep: usize,
    pub(crate) force: bool,
}

/// Whether patterns of this proof choose a domain.
pub(crate) fn chooses(patterns: &[&str], domain: &str) -> bool {
    patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(stem) => domain.starts_with(stem),
        None => *pattern == domain,
    })
}

impl Wish {
    /// The sets that choose a domain.
    pub(crate) fn sets_of<'w>(&'w self, domain: &str) -> Vec<&'w Set> {
        self.sets.iter().filter(|set| chooses(set.domains, domain)).collect()
    }

    /// The strictest limits of a domain: a set without a policy stands for the defaults.
    pub(crate) fn limits(&self, domain: &str) -> Safety {
        let all = self.sets_of(domain).into_iter().map(|set| set.safety.clone().unwrap_or_default());
        let stricter = |a: Safety, b: Safety| Safety {
            per_domain: a.per_domain.min(b.per_domain),
            per_host: a.per_host.min(b.per_host),
            percent: a.percent.min(b.percent),
            allow_empty: a.allow_empty && b.allow_empty,
            chain_limit: a.chain_limit.min(b.chain_limit),
            free_percent: a.free_percent.max(b.free_percent),
            trust: a.trust && b.trust,
            window: None,
        };
        all.reduce(stricter).unwrap_or_default()
    }

    /// Whether each policy of a domain has its window open.
    pub(crate) fn window_is_open(&self, domain: &str, now: i64) -> bool {
        let open = |(from, hours): (i64, i64)| (now.rem_euclid(86_400) - from * 3600).rem_euclid(86_400) < hours * 3600;
        self.sets_of(domain).iter().filter_map(|set| set.safety.as_ref()?.window).all(open)
    }
}

impl Wish {
    /// The manifests as a person writes them.
    pub(crate) fn yaml(&self) -> String {
        let mut out = String::new();
        for set in &self.sets {
            set.render(&mut out).expect("a string takes all");
        }
        for revert in &self.reverts {
            revert.render(&mut out).expect("a string takes all");
        }
        out
    }
}

fn list(words: &[&str]) -> String {
    words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
}

impl Set {
    fn render(&self, out: &mut String) -> std::fmt::Result {
        let name = self.name;
        writeln!(out, "---\napiVersion: snapward/v1\nkind: SnapshotSet\nmetadata: {{name: {name}}}\nspec:")?;
        writeln!(out, "  domains: {{include: [{}]}}", list(self.domains))?;
        if self.suspended {
            writeln!(out, "  suspend: {{reason: work}}")?;
        }
        if let Some(current) = self.current {
            writeln!(out, "  current: {current}")?;
        }
        let holds: Vec<_> = self.holds.iter().map(|held| format!("{{snapshot: {held}, reason: audit}}")).collect();
        if !holds.is_empty() {
            writeln!(out, "  holds: [{}]", holds.join(", "))?;
        }
        let location = if self.external { "external" } else { "internal" };
        if !self.snapshots.is_empty() {
            writeln!(out, "  snapshots:")?;
        }
        for snapshot in &self.snapshots {
            snapshot.render(out, location)?;
        }
        if !self.series.is_empty() {
            writeln!(out, "  series:")?;
        }
        for series in &self.series {
            series.render(out, location)?;
        }
        let Some(safety) = &self.safety else { return Ok(()) };
        writeln!(out, "  safety: {{policyRef: {name}}}")?;
        writeln!(out, "---\napiVersion: snapward/v1\nkind: SafetyPolicy\nmetadata: {{name: {name}}}\nspec:")?;
        let Safety { per_domain, per_host, percent, allow_empty, chain_limit, free_percent, trust, window } = safety;
        writeln!(out, "  maxDeletes: {{perDomain: {per_domain}, perHost: {per_host}, percent: {percent}}}")?;
        writeln!(out, "  allowEmpty: {allow_empty}\n  chainLimit: {chain_limit}\n  trustUnreadableChains: {trust}")?;
        writeln!(out, "  freeSpace: {{minPercent: {free_percent}}}")?;
        if let Some((from, hours)) = window {
            writeln!(out, "  windows: [{{allow: [delete, revert], cron: \"0 {from} * * *\", duration: {hours}h}}]")?;
        }
        Ok(())
    }
}

impl Snapshot {
    fn render(&self, out: &mut String, location: &str) -> std::fmt::Result {
        write!(out, "    - {{name: {}", self.name)?;
        if self.absent {
            return writeln!(out, ", state: absent}}");
        }
        if self.only_adopted {
            let parent = self.parent.map(|parent| format!(", parent: {parent}")).unwrap_or_default();
            return writeln!(out, ", create: never, adopt: true{parent}}}");
        }
        write!(out, ", capture: {{content: {}, location: {location}", self.content)?;
        if let Some(file) = &self.file {
            write!(out, ", disks: [{{target: vda, file: {file}}}]")?;
        }
        write!(out, "}}, when: {}", self.when)?;
        if self.adopt {
            write!(out, ", adopt: true")?;
        }
        if self.recreate {
            write!(out, ", recreate: true")?;
        }
        if let Some(protect) = self.protect {
            write!(out, ", protect: {protect}")?;
        }
        if let Some(hours) = self.delete_after_hours {
            write!(out, ", deleteAfter: {hours}h")?;
        }
        if let Some(parent) = self.parent {
            write!(out, ", parent: {parent}")?;
        }
        if let Some(number) = self.description {
            write!(out, ", description: text {number}")?;
        }
        writeln!(out, "}}")
    }
}

impl Series {
    fn render(&self, out: &mut String, location: &str) -> std::fmt::Result {
        let Self { name, content, cron, prune, last, hourly, minimum_count, .. } = self;
        writeln!(out, "    - name: {name}\n      capture: {{content: {content}, location: {location}}}")?;
        writeln!(out, "      schedule: {{cron: \"{cron}\"}}\n      nameTemplate: \"{{set}}-{{series}}-{{slot}}\"")?;
        writeln!(out, "      prune: {prune}")?;
        if self.absent {
            writeln!(out, "      state: absent")?;
        }
        let within = self.within_hours.map(|hours| format!(", within: {hours}h")).unwrap_or_default();
        writeln!(out, "      retention:\n        spec:\n          keep: {{last: {last}, hourly: {hourly}{within}}}")?;
        writeln!(out, "          minimumCount: {minimum_count}")?;
        match self.minimum_age_hours {
            Some(hours) => writeln!(out, "          minimumAge: {hours}h"),
            None => Ok(()),
        }
    }
}

impl Revert {
    fn render(&self, out: &mut String) -> std::fmt::Result {
        let Self { name, to, token, power, keep, force, .. } = self;
        writeln!(out, "---\napiVersion: snapward/v1\nkind: RevertRequest\nmetadata: {{name: {name}}}\nspec:")?;
        writeln!(out, "  hosts: {{include: [model]}}\n  domains: {{include: [{}]}}", list(self.domains))?;
        let expires = jiff::Timestamp::from_second(self.expires).expect("within a few years");
        writeln!(out, "  to: {to}\n  token: \"{token}\"\n  expiresAt: {expires}\n  power: {power}")?;
        writeln!(out, "  guard: {{keep: {keep}}}\n  force: {force}")
    }
}

/// Domains that sets choose, as their patterns.
const CHOICES: [&[&str]; 4] = [&["vm1"], &["vm2"], &["vm*"], &["vm1", "vm2"]];

impl Wish {
    /// Manifests for a host whose domains are external or not, mostly.
    pub(crate) fn random(random: &mut Random, external: bool, now: i64) -> Self {
        let mut names: Vec<&'static str> = NAMES.to_vec();
        let mut sets = Vec::new();
        for (name, series) in [("web", "hourly"), ("db", "daily")] {
            if sets.is_empty() || random.percent(30) {
                sets.push(Set::random(random, name, series, external, &mut names));
            }
        }
        let reverts = if random.percent(12) { vec![Revert::random(random, now)] } else { Vec::new() };
        Self { sets, reverts }
    }

    /// Manifests that adopt what others made, and have it deleted: for trees that others spoil.
    pub(crate) fn of_deletions() -> Self {
        let adopted = |name| Snapshot {
            name,
            content: "disks",
            absent: false,
            adopt: true,
            recreate: false,
            protect: None,
            delete_after_hours: None,
            parent: None,
            description: None,
            only_adopted: true,
            when: "any",
            file: None,
        };
        let snapshots = NAMES.into_iter().map(adopted).collect();
        Self { sets: vec![Set { name: "web", domains: &["vm1"], snapshots, ..Set::default() }], reverts: Vec::new() }
    }

    /// The same manifests, edited here and there.
    pub(crate) fn edited(&self, random: &mut Random, now: i64) -> Self {
        let mut wish = self.clone();
        if let [Set { snapshots, safety, .. }] = wish.sets.as_mut_slice()
            && snapshots.iter().any(|snapshot| snapshot.only_adopted)
        {
            snapshots.iter_mut().for_each(|snapshot| snapshot.absent = random.percent(35));
            *safety = random.percent(15).then(|| Safety { trust: true, ..Safety::default() });
            wish.reverts = if random.percent(15) { vec![Revert::random(random, now)] } else { Vec::new() };
            return wish;
        }
        for set in &mut wish.sets {
            set.edit(random);
        }
        if random.percent(12) {
            wish.reverts = vec![Revert::random(random, now)];
        }
        wish
    }
}

impl Set {
    fn random(
        random: &mut Random,
        name: &'static str,
        series: &'static str,
        external: bool,
        names: &mut Vec<&'static str>,
    ) -> Self {
        let external = external != random.percent(6);
        let mut set = Self { name, external, ..Self::default() };
        set.domains = random.pick(&CHOICES).expect("some");
        for _ in 0..random.below(4) {
            if names.is_empty() {
                break;
            }
            let name = names.remove(random.below(names.len()));
            set.snapshots.push(Snapshot::random(random, name, external, set.domains == ["vm1"]));
        }
        if set.snapshots.is_empty() || random.percent(60) {
            set.series.push(Series::random(random, series, external));
        }
        set.safety = random.percent(60).then(|| Safety::random(random));
        set.edit(random);
        set
    }

    fn edit(&mut self, random: &mut Random) {
        for snapshot in &mut self.snapshots {
            if random.percent(25) {
                *snapshot = Snapshot::random(random, snapshot.name, self.external, self.domains == ["vm1"]);
            }
        }
        for series in &mut self.series {
            if random.percent(25) {
                *series = Series::random(random, series.name, self.external);
            }
        }
        if random.percent(15) {
            self.safety = random.percent(70).then(|| Safety::random(random));
        }
        self.suspended = random.percent(6);
        let present: Vec<&'static str> = self.snapshots.iter().filter(|s| !s.absent).map(|s| s.name).collect();
        self.current = random.pick(&present).copied().filter(|_| random.percent(15));
        self.holds.retain(|held| present.contains(&held.as_str()));
        if random.percent(20) {
            self.holds = random.pick(&present).iter().map(|name| (**name).to_owned()).collect();
        }
    }
}

impl Snapshot {
    fn random(random: &mut Random, name: &'static str, external: bool, alone: bool) -> Self {
        let absent = random.percent(35);
        let delete_after_hours = random.percent(20).then(|| 1 + i64::try_from(random.below(60)).expect("small"));
        Self {
            name,
            content: if random.percent(if external { 70 } else { 10 }) { "disks" } else { "full" },
            absent,
            adopt: random.percent(45),
            recreate: delete_after_hours.is_none() && random.percent(15),
            protect: random.percent(25).then(|| random.percent(60)),
            delete_after_hours,
            parent: random.pick(&NAMES).copied().filter(|parent| *parent != name && random.percent(12)),
            description: random.percent(30).then(|| u8::try_from(random.below(3)).expect("small")),
            only_adopted: false,
            when: random.weighted(&[(80, "any"), (10, "running"), (10, "stopped")]),
            file: (external && random.percent(5) && alone).then(|| format!("/images/given.{name}.qcow2")),
        }
    }
}

impl Series {
    fn random(random: &mut Random, name: &'static str, external: bool) -> Self {
        let hours = |random: &mut Random| i64::try_from(1 + random.below(8)).expect("small");
        Self {
            name,
            content: if external && random.percent(80) { "disks" } else { "full" },
            cron: random.weighted(&[(75, "0 * * * *"), (20, "*/10 * * * *"), (5, "30 4 * * *")]),
            absent: random.percent(12),
            prune: random.percent(80),
            last: 1 + random.below(4),
            hourly: random.below(3),
            within_hours: (!external && random.percent(20)).then(|| hours(random)),
            minimum_age_hours: (!external && random.percent(20)).then(|| hours(random)),
            minimum_count: 1 + random.below(3),
        }
    }
}

impl Safety {
    fn random(random: &mut Random) -> Self {
        let window = |random: &mut Random| (random.below(24), 1 + random.below(12));
        Self {
            per_domain: random.weighted(&[(30, 1), (30, 2), (40, 10)]),
            per_host: random.weighted(&[(20, 2), (80, 50)]),
            percent: random.weighted(&[(20, 30), (30, 50), (50, 100)]),
            allow_empty: random.percent(30),
            chain_limit: random.weighted(&[(40, 8), (60, 20)]),
            free_percent: random.weighted(&[(80, 10), (20, 60)]),
            trust: random.percent(25),
            window: random.percent(25).then(|| {
                let (from, hours) = window(random);
                (i64::try_from(from).expect("small"), i64::try_from(hours).expect("small"))
            }),
        }
    }
}

impl Revert {
    fn random(random: &mut Random, now: i64) -> Self {
        Self {
            name: "reset",
            domains: random.pick(&CHOICES).expect("some"),
            to: random.pick(&NAMES).expect("some"),
            token: format!("t{}", random.below(1000)),
            expires: now + 3600 * 24,
            power: random.weighted(&[(70, "asCaptured"), (15, "paused"), (15, "running")]),
            keep: random.below(3),
            force: random.percent(15),
        }
    }
}
