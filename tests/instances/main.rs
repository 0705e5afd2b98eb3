//! Several instances on one database: what one acknowledges the others show, rules hold whoever asks whom, and one that dies or
//! stops takes nothing with it.

#[path = "../support/mod.rs"]
mod support;

mod keys;
mod processes;
mod races;
mod reads;
mod several;
