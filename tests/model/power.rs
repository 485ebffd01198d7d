//! Starting and stopping domains, and what their guests write.

use std::collections::BTreeMap;

use snapward::model::observed::RunState;

use super::{Answer, World, failed, refused};

/// The most images in a chain with which QEMU starts: 24 overlays on one base (case Z).
const LONGEST_START: usize = 25;

impl World {
    /// Starts a domain that is off.
    pub(crate) fn start(&mut self, domain: &str, state: RunState) -> Answer<()> {
        if self.domain(domain)?.state.is_active() {
            return refused("the domain is running");
        }
        let open = self.open(domain)?;
        let domain = self.domain_mut(domain)?;
        domain.open = open;
        domain.stored = Some(domain.definition.clone());
        domain.state = state;
        domain.managed_save = false;
        Ok(())
    }

    /// The chains that QEMU opens.
    pub(super) fn open(&self, domain: &str) -> Answer<BTreeMap<String, Vec<String>>> {
        let mut open = BTreeMap::new();
        for disk in &self.domain(domain)?.definition.disks {
            let Some(source) = &disk.source else { continue };
            match self.storage.chain(source) {
                Ok(chain) if chain.len() <= LONGEST_START => open.insert(disk.target.clone(), chain),
                Ok(_) => return failed("nesting too deep"),
                Err(why) => return failed(format!("cannot access backing file: {why}")),
            };
        }
        Ok(open)
    }

    /// Lets a paused domain run on.
    pub(crate) fn resume(&mut self, domain: &str) -> Answer<()> {
        let domain = self.domain_mut(domain)?;
        if domain.state != RunState::Paused {
            return refused("the domain is not paused");
        }
        domain.state = RunState::Running;
        domain.images_wait = None;
        Ok(())
    }

    /// Switches a domain off at once.
    pub(crate) fn destroy(&mut self, domain: &str) -> Answer<()> {
        if !self.domain(domain)?.state.is_active() {
            return refused("the domain is not running");
        }
        self.stop(domain)
    }

    pub(super) fn stop(&mut self, domain: &str) -> Answer<()> {
        let closed: Vec<_> = self.domain(domain)?.open.values().flatten().cloned().collect();
        closed.iter().for_each(|path| drop(self.replaced.remove(path)));
        let domain = self.domain_mut(domain)?;
        domain.open.clear();
        domain.images_wait = None;
        domain.state = RunState::ShutOff;
        if let Some(stored) = domain.stored.take() {
            domain.definition = stored;
        }
        Ok(())
    }

    /// The guest, or a tool while it is off, writes to a page of a disk.
    pub(crate) fn write(&mut self, domain: &str, target: &str, page: u8, number: u32) -> Answer<()> {
        let found = self.domain(domain)?;
        let opened = found.open.get(target).and_then(|open| open.first());
        let source = opened.or(found.disk(target).and_then(|disk| disk.source.as_ref())).cloned();
        match source.and_then(|source| self.storage.get_mut(&source)) {
            Some(image) => {
                image.pages.insert(page, number);
                Ok(())
            }
            None => failed("the image is not there"),
        }
    }
}
