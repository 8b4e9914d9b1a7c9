//! Stored items: a case of the grammar of `tests/fuzz`.
#![no_main]

use std::cell::LazyCell;

use fuzz::{InProcess, generated, items};
use libfuzzer_sys::{Corpus, fuzz_target};

thread_local! {
    static SERVICE: LazyCell<(InProcess, String)> =
        LazyCell::new(|| (InProcess::new(), local::token(&local::claims_with(&fuzz::forever()))));
}

fuzz_target!(|data: &[u8]| -> Corpus {
    let Some(case) = generated(&items::case(), data) else { return Corpus::Reject };
    SERVICE.with(|state| {
        let (service, token) = &**state;
        let items = items::items(&case);
        service.put(items.clone());
        let exchange = service.exchange(&items::event(&case, token), &items::secrets());
        let checked = exchange.and_then(|exchange| items::check(&case, &items, exchange));
        checked.unwrap_or_else(|failure| panic!("{failure}: {case:?}"));
    });
    Corpus::Keep
});
