//! One target of the fuzzer, chosen by `FUZZ_TARGET`: libFuzzer's own main calls it with its inputs.
#![no_main]

#[path = "../targets.rs"]
mod targets;

use std::sync::OnceLock;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    static TARGET: OnceLock<targets::Target> = OnceLock::new();
    TARGET.get_or_init(|| targets::named(&std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET is set")))(data);
});
