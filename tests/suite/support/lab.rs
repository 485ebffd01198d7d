//! snapward as a library on an embedded root: manifests in, plans and outcomes out, with a clock of the test's own.

use std::path::Path;
use std::sync::Arc;

use snapward::apply::{self, Options, Progress, Stop, Target};
use snapward::host::Host;
use snapward::libvirt::Access;
use snapward::manifest::{self, Source};
use snapward::model::desired::DesiredState;
use snapward::model::outcome::{DomainResult, Outcome};
use snapward::model::plan::{Plan, PlanSource};
use snapward::observe::{self, Connection};
use snapward::plan;

use super::embed::EmbedRoot;

/// One host on which manifests are planned and applied.
pub(crate) struct Lab<'a> {
    root: &'a EmbedRoot,
    reader: Connection,
    writer: Arc<dyn Host>,
    /// Added to the time of day, in seconds.
    pub(crate) ahead: i64,
}

/// The time of day.
#[expect(clippy::disallowed_methods, reason = "a test stands where the command line reads the clock")]
pub(crate) fn clock() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// A plan that can be carried out.
pub(crate) struct Planned {
    pub(crate) plan: Plan,
}

impl<'a> Lab<'a> {
    /// Opens the root as `plan` and `apply` do: one connection to read, one to write.
    pub(crate) fn new(root: &'a EmbedRoot) -> Self {
        let reader = Connection {
            label: root.uri(),
            inventory_name: Some("lab".to_owned()),
            labels: std::collections::BTreeMap::new(),
            uri: root.uri(),
            host: root.connect(Access::ReadOnly),
        };
        Self { root, reader, writer: root.connect(Access::ReadWrite), ahead: 0 }
    }

    /// Reads a manifest; it must be valid.
    pub(crate) fn load(yaml: &str) -> DesiredState {
        let loaded = manifest::load(&[Source { name: Arc::from("lab.yaml"), text: yaml.as_bytes().to_vec() }]);
        let errors: Vec<_> = loaded.diagnostics.iter().filter(|d| d.is_error()).map(|d| &d.message).collect();
        assert!(errors.is_empty(), "{errors:?} in\n{yaml}");
        loaded.desired
    }

    /// Plans a manifest.
    pub(crate) fn plan(&self, yaml: &str) -> Planned {
        self.plan_desired(&Self::load(yaml))
    }

    /// Plans what was loaded.
    pub(crate) fn plan_desired(&self, desired: &DesiredState) -> Planned {
        self.plan_at(desired, self.now())
    }

    /// The time of the lab.
    pub(crate) fn now(&self) -> jiff::Timestamp {
        clock() + jiff::SignedDuration::from_secs(self.ahead)
    }

    /// Plans what was loaded, as if it were that time.
    pub(crate) fn plan_at(&self, desired: &DesiredState, now: jiff::Timestamp) -> Planned {
        let observed = observe::observe(std::slice::from_ref(&self.reader), desired);
        assert!(observed.unreachable.is_empty(), "{:?}", observed.unreachable);
        Planned { plan: plan::plan(desired, &observed, now, PlanSource::default()) }
    }

    /// The calls that may only read.
    pub(crate) fn reader(&self) -> Arc<dyn Host> {
        Arc::clone(&self.reader.host)
    }

    /// Plans what was loaded, as it is seen through other calls.
    pub(crate) fn plan_through(&self, host: Arc<dyn Host>, desired: &DesiredState, now: jiff::Timestamp) -> Plan {
        let (label, uri) = (self.reader.label.clone(), self.reader.uri.clone());
        let inventory_name = self.reader.inventory_name.clone();
        let reader = Connection { label, inventory_name, labels: self.reader.labels.clone(), uri, host };
        let observed = observe::observe(&[reader], desired);
        plan::plan(desired, &observed, now, PlanSource::default())
    }

    /// Carries out a plan.
    pub(crate) fn carry_out(&self, planned: &Planned) -> Outcome {
        self.carry_out_telling(planned, &())
    }

    /// Carries out a plan, and tells how it goes.
    pub(crate) fn carry_out_telling(&self, planned: &Planned, progress: &dyn Progress) -> Outcome {
        let target = self.target(self.host());
        let options = Options { lock_dir: self.lock_dir(), progress, stop: Stop::new(), clock: &clock };
        apply::apply(&planned.plan, &[target], &options)
    }

    /// The calls that may write.
    pub(crate) fn host(&self) -> Arc<dyn Host> {
        Arc::clone(&self.writer)
    }

    /// This host with other calls in place of its own.
    pub(crate) fn target(&self, host: Arc<dyn Host>) -> Target {
        Target { info: observe::identify(&self.reader).expect("the host answers"), host }
    }

    /// Where the locks of this lab are.
    pub(crate) fn lock_dir(&self) -> std::path::PathBuf {
        Path::join(self.root.path(), "locks")
    }

    /// Plans and applies a manifest; nothing may go wrong, blocked items aside.
    pub(crate) fn apply(&self, yaml: &str) -> Planned {
        let planned = self.plan(yaml);
        let outcome = self.carry_out(&planned);
        assert!(outcome.domains.iter().all(|domain| domain.result == DomainResult::Done), "{outcome:#?}");
        planned
    }

    /// Plans the manifest once more: nothing may be left to do.
    pub(crate) fn settled(&self, yaml: &str) -> Plan {
        let plan = self.plan(yaml).plan;
        assert!(plan.actions.is_empty(), "left to do: {:#?}", plan.actions);
        plan
    }
}

/// The actions of a plan as `create a`, `delete b`.
pub(crate) fn actions(plan: &Plan) -> Vec<String> {
    let word = |action: &snapward::model::plan::Action| {
        let kind = serde_json::to_value(action.action).expect("a word");
        let name = action.address.snapshot.as_ref().map(ToString::to_string).unwrap_or_default();
        format!("{} {name}", kind.as_str().expect("a word"))
    };
    plan.actions.iter().map(word).collect()
}

/// The blocked items of a plan as `Missing a`.
pub(crate) fn blocks(plan: &Plan) -> Vec<String> {
    let word = |item: &snapward::model::plan::Blocked| {
        let name = item.address.snapshot.as_ref().map(ToString::to_string).unwrap_or_default();
        format!("{:?} {name}", item.code).trim_end().to_owned()
    };
    plan.blocked.iter().map(word).collect()
}

/// A manifest with one set `default/lab` for domain `vm`.
pub(crate) fn manifest(spec: &str) -> String {
    set("lab", &format!("  domains: {{include: [vm]}}\n{spec}"))
}

/// A manifest of one set, the spec indented by two.
pub(crate) fn set(name: &str, spec: &str) -> String {
    format!("apiVersion: snapward/v1\nkind: SnapshotSet\nmetadata: {{name: {name}}}\nspec:\n{spec}\n")
}

/// A declared internal snapshot, with more fields each on a line.
pub(crate) fn snapshot(name: &str, fields: &[&str]) -> String {
    let fields: String = fields.iter().map(|field| format!("      {field}\n")).collect();
    format!("    - name: {name}\n      capture: {{content: full, location: internal}}\n{fields}")
}
