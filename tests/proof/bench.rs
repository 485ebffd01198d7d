//! snapward on the model of libvirt: observe, plan and apply as they are, by the model's clock.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use snapward::apply::{self, Options, Stop, Target};
use snapward::host::Host;
use snapward::manifest::{self, Source};
use snapward::model::desired::DesiredState;
use snapward::model::outcome::Outcome;
use snapward::model::plan::{Plan, PlanSource};
use snapward::observe::{self, Connection};
use snapward::plan;

use super::model::{Model, World};

/// A host whose libvirt is the model.
pub(crate) struct Bench {
    pub(crate) model: Arc<Model>,
    connection: Connection,
    locks: PathBuf,
}

impl Bench {
    /// `locks` is the directory of its locks.
    pub(crate) fn new(world: World, locks: PathBuf) -> Self {
        let model = Arc::new(Model::new(world));
        let connection = Connection {
            label: "model".to_owned(),
            inventory_name: None,
            labels: BTreeMap::new(),
            uri: "qemu:///model".to_owned(),
            host: Arc::clone(&model) as Arc<dyn Host>,
        };
        Self { model, connection, locks }
    }

    pub(crate) fn plan(&self, desired: &DesiredState) -> Plan {
        let observed = observe::observe(std::slice::from_ref(&self.connection), desired);
        plan::plan(desired, &observed, self.now(), PlanSource::default())
    }

    pub(crate) fn apply(&self, plan: &Plan) -> Outcome {
        let info = observe::identify(&self.connection).expect("the model answers");
        let target = Target { info, host: Arc::clone(&self.connection.host) };
        let clock = || self.now();
        let options = Options { lock_dir: self.locks.clone(), progress: &(), stop: Stop::new(), clock: &clock };
        apply::apply(plan, &[target], &options)
    }

    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::from_second(self.model.world().now).expect("a year of ours")
    }
}

/// Reads the manifests; none where they are in error, as where sets contradict each other.
pub(crate) fn load(yaml: &str) -> Option<DesiredState> {
    let loaded = manifest::load(&[Source { name: Arc::from("proof.yaml"), text: yaml.as_bytes().to_vec() }]);
    (!loaded.has_errors()).then_some(loaded.desired)
}
