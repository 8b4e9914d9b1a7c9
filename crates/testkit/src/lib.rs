//! What tests and benchmarks share.

#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    reason = "a fault here is a fault of the repository, and stops a test or a benchmark"
)]

pub mod dynamodb_proxy;
pub mod faulty;
pub mod faulty_store;
pub mod issuer;
pub mod log;
pub mod process;
pub mod relay;
pub mod runtime_api;
pub mod tls;

use std::path::PathBuf;

use aws_sdk_dynamodb::Client;
use local::{TABLE, encode, put_items};
use table::attribute::Item;
use table::write::Encoded;

/// The folder that an environment variable names: data of others that is not part of this repository.
#[must_use]
pub fn data_folder(variable: &str) -> PathBuf {
    std::env::var_os(variable).unwrap_or_else(|| panic!("{variable} must name a folder")).into()
}

/// Numbers that compress badly and are the same in every run: `SplitMix64`.
pub fn noise(seed: u64) -> impl Iterator<Item = u64> {
    let states = std::iter::successors(Some(seed), |state| Some(state.wrapping_add(0x9e37_79b9_7f4a_7c15)));
    states.skip(1).map(|state| {
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    })
}

/// So many hexadecimal digits of [`noise`].
#[must_use]
pub fn noise_text(seed: u64, length: usize) -> String {
    let digit = |number| char::from_digit((number & 15) as u32, 16).expect("a hexadecimal digit");
    noise(seed).map(digit).take(length).collect()
}

/// The items that a valid document becomes, under its own id and [`SITE`].
#[must_use]
pub fn encoded(json: &str) -> Encoded {
    encode(json).expect("a study that can be served")
}

/// Puts a valid document into the table.
pub async fn put(table: &Client, json: &str) {
    put_items(table, encoded(json)).await;
}

/// Every item of the table, in the table's own order.
pub async fn items(table: &Client) -> Vec<Item> {
    let pages = table.scan().table_name(TABLE).into_paginator();
    pages.items().send().collect::<Result<_, _>>().await.expect("the table can be read")
}

/// The bytes in lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}
