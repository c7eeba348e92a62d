#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::share_log::log(data));
