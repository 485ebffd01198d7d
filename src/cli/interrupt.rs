//! SIGINT and SIGTERM: end a run that only reads at once; let an apply finish the actions at hand.

use std::io;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::error::CliError;
use super::exit::Exit;
use super::output::Output;
use crate::apply::Stop;

/// The watch over signals; it lasts as long as the process.
pub(super) struct Interrupt {
    stop: Arc<Mutex<Option<Stop>>>,
}

impl Interrupt {
    /// From now on the first signal asks for a stop, and only a second one ends the process.
    pub(super) fn stops(&self, stop: Stop) {
        *self.stop.lock().unwrap_or_else(PoisonError::into_inner) = Some(stop);
    }
}

/// Starts to watch. Until [`Interrupt::stops`], a signal ends the process with 130 at once: nothing was changed yet.
///
/// # Errors
/// When the handlers cannot be installed.
pub(super) fn watch(output: Output) -> Result<Interrupt, CliError> {
    let stop: Arc<Mutex<Option<Stop>>> = Arc::default();
    let (ready, installed) = mpsc::channel();
    let shared = Arc::clone(&stop);
    let started = thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_io().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                drop(ready.send(Err(error)));
                return;
            }
        };
        runtime.block_on(async {
            match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
                (Ok(interrupts), Ok(terminations)) => {
                    drop(ready.send(Ok(())));
                    serve(interrupts, terminations, &shared, output).await;
                }
                (Err(error), _) | (_, Err(error)) => {
                    drop(ready.send(Err(error)));
                }
            }
        });
    });
    started
        .and_then(|_| installed.recv().map_err(io::Error::other)?)
        .map_err(|error| CliError::failed(format!("could not watch for signals: {error}; nothing was done")))?;
    Ok(Interrupt { stop })
}

async fn serve(mut interrupts: Signal, mut terminations: Signal, stop: &Mutex<Option<Stop>>, output: Output) {
    loop {
        tokio::select! {
            _ = interrupts.recv() => {}
            _ = terminations.recv() => {}
        }
        let stop = stop.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match stop {
            Some(stop) if !stop.is_requested() => {
                stop.request();
                output.note(
                    "\nInterrupted: finishing the actions at hand, starting no more. \
                     A second interrupt ends at once and may leave an action half done.\n",
                );
            }
            _ => {
                output.note("\nInterrupted.\n");
                end();
            }
        }
    }
}

/// Ends the process at once.
#[allow(clippy::disallowed_methods, reason = "other threads may hang in libvirt; the kernel releases their locks")]
pub(super) fn end() -> ! {
    std::process::exit(i32::from(Exit::Interrupted.code()))
}
