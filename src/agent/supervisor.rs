//! Telling systemd how the agent is (`sd_notify(3)`): ready, reloading, stopping, and the watchdog's sign of life, which the
//! loop itself gives: a loop that hangs is restarted.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;

/// Told how the agent is.
pub trait Supervisor: Send {
    /// What was read last is in use, or was refused; `status` says so in a line.
    fn ready(&mut self, status: &str);
    /// The source is read on request.
    fn reloading(&mut self);
    /// The agent ends.
    fn stopping(&mut self);
    /// The loop came round.
    fn alive(&mut self);
    /// How often it must come round; none: nobody watches.
    fn beat(&self) -> Option<Duration>;
}

/// Nobody.
impl Supervisor for () {
    fn ready(&mut self, _: &str) {}
    fn reloading(&mut self) {}
    fn stopping(&mut self) {}
    fn alive(&mut self) {}
    fn beat(&self) -> Option<Duration> {
        None
    }
}

/// systemd, or whoever set `NOTIFY_SOCKET`.
#[derive(Debug)]
pub struct Systemd {
    beat: Option<Duration>,
    beaten: Option<Instant>,
}

impl Systemd {
    /// Reads what systemd asks for from the environment.
    pub fn from_environment() -> Self {
        // Twice within its time, as sd_watchdog_enabled(3) recommends.
        Self { beat: sd_notify::watchdog_enabled().map(|time| time / 2), beaten: None }
    }

    fn tell(states: &[NotifyState<'_>]) {
        // Without a socket nobody wants to know.
        drop(sd_notify::notify(states));
    }
}

impl Supervisor for Systemd {
    fn ready(&mut self, status: &str) {
        Self::tell(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    fn reloading(&mut self) {
        // MONOTONIC_USEC belongs to it (`Type=notify-reload`).
        match NotifyState::monotonic_usec_now() {
            Ok(now) => Self::tell(&[NotifyState::Reloading, now]),
            Err(_) => Self::tell(&[NotifyState::Reloading]),
        }
    }

    fn stopping(&mut self) {
        Self::tell(&[NotifyState::Stopping]);
    }

    fn alive(&mut self) {
        let Some(beat) = self.beat else { return };
        // A busy loop comes round far more often than systemd wants to hear of it.
        if self.beaten.is_none_or(|last| last.elapsed() >= beat / 2) {
            self.beaten = Some(Instant::now());
            Self::tell(&[NotifyState::Watchdog]);
        }
    }

    fn beat(&self) -> Option<Duration> {
        self.beat
    }
}
