//! Relay, buses and scheduler on a real store: one suite for every bus, what only a broker can do, due work.
//! Broker tests need RabbitMQ and say SKIPPED where it is not installed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod broker;
mod full;
mod local;
mod rabbit;
mod schedule;
mod suite;
mod world;
