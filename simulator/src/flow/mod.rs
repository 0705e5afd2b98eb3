//! What Stripe does with a payment, whatever asked for it: a request, a payer on the 3-D Secure page, or the clock.

mod charging;
mod checkout;
mod confirming;
mod disputing;
mod later;
mod paying_out;
mod refunding;
mod settling;
mod unexpected;

pub use charging::{cancel, capture};
pub use checkout::{expire_session, is_held_by_session, pay_session};
pub use confirming::{Confirmation, confirm, finish_authentication};
pub use disputing::{check_answerable, close_dispute, dispute, show_dispute, submit_evidence};
pub use later::{run_due, settle_now};
pub use paying_out::{NewPayout, cancel_payout, fail_payout, pay_out, pay_out_all};
pub use refunding::{NewRefund, cancel_refund, refund};
pub use settling::charge_fee;
pub use unexpected::{cannot_update, unexpected_state};
