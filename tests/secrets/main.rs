//! Nothing that is secret is kept, logged or told, whatever is sent to whichever door; and nothing that is sent, however
//! odd, hostile or slow, breaks the service.

#[path = "../support/mod.rs"]
mod support;
#[path = "../openapi/things.rs"]
#[allow(dead_code, reason = "the matrix of keys uses more of it")]
mod things;

mod canaries;
mod canary;
mod fuzz;
mod hostile;
mod shown;
mod sinks;
mod slow;
mod strange;
mod told;
mod walk;
