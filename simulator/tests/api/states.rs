//! The table of transitions, cell by cell.

use serde_json::Value;

use crate::support::{Api, start, text};

/// What a command leads to.
enum Cell {
    /// 200, and then this status.
    To(&'static str),
    /// 400 `payment_intent_unexpected_state`, and nothing changed.
    Refused,
}

use Cell::{Refused, To};

const STATUSES: [&str; 7] = [
    "requires_payment_method",
    "requires_confirmation",
    "requires_action",
    "processing",
    "requires_capture",
    "succeeded",
    "canceled",
];

/// An intent in the given state.
async fn intent_in(api: &Api, status: &str) -> String {
    let card = ("payment_method", "pm_card_visa");
    let confirm = ("confirm", "true");
    let answer = match status {
        "requires_payment_method" | "canceled" => api.intent(&[]).await,
        "requires_confirmation" => api.intent(&[card]).await,
        "requires_action" => {
            let card = ("payment_method", "pm_card_authenticationRequired");
            api.intent(&[card, confirm]).await
        }
        "processing" => {
            api.intent(&[("payment_method", "pm_card_simProcessing"), confirm])
                .await
        }
        "requires_capture" => {
            api.intent(&[card, confirm, ("capture_method", "manual")])
                .await
        }
        _ => api.intent(&[card, confirm]).await,
    };
    let id = text(&answer.ok(), "id").to_owned();
    if status == "canceled" {
        api.post(&format!("v1/payment_intents/{id}/cancel"), &[])
            .await
            .ok();
    }
    id
}

async fn check(command: &str, form: crate::support::Form<'_>, cells: [Cell; 7]) {
    let (_running, api) = start().await;
    for (status, cell) in STATUSES.into_iter().zip(cells) {
        let id = intent_in(&api, status).await;
        let path = format!("v1/payment_intents/{id}");
        let before: Value = api.get(&path).await.ok();
        assert_eq!(text(&before, "status"), status);
        let answer = api.post(&format!("{path}{command}"), form).await;
        let after: Value = api.get(&path).await.ok();
        match cell {
            To(expected) => {
                assert_eq!(answer.status, 200, "{status}{command}: {}", answer.body);
                assert_eq!(text(&after, "status"), expected, "{status}{command}");
                assert_eq!(answer.body, after, "{status}{command}");
            }
            Refused => {
                let (code, name, _) = answer.error();
                let what = (code, name);
                assert_eq!(
                    what,
                    (400, "payment_intent_unexpected_state"),
                    "{status}{command}"
                );
                assert_eq!(
                    answer.body["error"]["payment_intent"], before,
                    "{status}{command}"
                );
                assert_eq!(after, before, "{status}{command}");
            }
        }
    }
}

#[tokio::test]
async fn a_method_can_be_set_until_the_payment_is_under_way() {
    let cells = [
        To("requires_confirmation"),
        To("requires_confirmation"),
        To("requires_confirmation"),
        Refused,
        Refused,
        Refused,
        Refused,
    ];
    check("", &[("payment_method", "pm_card_mastercard")], cells).await;
}

#[tokio::test]
async fn the_amount_can_change_until_the_payment_is_under_way() {
    // What the payer was asked to approve is void when the price changes.
    let cells = [
        To("requires_payment_method"),
        To("requires_confirmation"),
        To("requires_confirmation"),
        Refused,
        Refused,
        Refused,
        Refused,
    ];
    check("", &[("amount", "2000")], cells).await;
}

#[tokio::test]
async fn metadata_can_change_until_the_intent_is_cancelled() {
    let cells = [
        To("requires_payment_method"),
        To("requires_confirmation"),
        To("requires_action"),
        To("processing"),
        To("requires_capture"),
        To("succeeded"),
        Refused,
    ];
    check("", &[("metadata[a]", "b")], cells).await;
}

#[tokio::test]
async fn a_description_can_change_unless_the_payment_is_processing_or_cancelled() {
    let cells = [
        To("requires_payment_method"),
        To("requires_confirmation"),
        To("requires_action"),
        Refused,
        To("requires_capture"),
        To("succeeded"),
        Refused,
    ];
    check("", &[("description", "b")], cells).await;
}

#[tokio::test]
async fn confirmation_needs_a_method_and_an_open_intent() {
    let cells = [
        Refused,
        To("succeeded"),
        To("requires_action"),
        Refused,
        Refused,
        Refused,
        Refused,
    ];
    check("/confirm", &[], cells).await;
}

#[tokio::test]
async fn confirmation_may_bring_the_method() {
    let cells = [
        To("succeeded"),
        To("succeeded"),
        To("succeeded"),
        Refused,
        Refused,
        Refused,
        Refused,
    ];
    check("/confirm", &[("payment_method", "pm_card_visa")], cells).await;
}

#[tokio::test]
async fn only_a_held_payment_can_be_captured() {
    let cells = [
        Refused,
        Refused,
        Refused,
        Refused,
        To("succeeded"),
        Refused,
        Refused,
    ];
    check("/capture", &[], cells).await;
}

#[tokio::test]
async fn an_intent_can_be_cancelled_until_it_processes_or_ends() {
    let cells = [
        To("canceled"),
        To("canceled"),
        To("canceled"),
        Refused,
        To("canceled"),
        Refused,
        Refused,
    ];
    let form = [("cancellation_reason", "requested_by_customer")];
    check("/cancel", &form, cells).await;
}

#[tokio::test]
async fn a_processing_payment_ends_with_the_clock() {
    let (_running, api) = start().await;
    for (method, status, event) in [
        (
            "pm_card_simProcessing",
            "succeeded",
            "payment_intent.succeeded",
        ),
        (
            "pm_card_simProcessingDeclined",
            "requires_payment_method",
            "payment_intent.payment_failed",
        ),
    ] {
        let intent = api.paid(method).await;
        assert_eq!(text(&intent, "status"), "processing");
        api.advance(3_601).await;
        let path = format!("v1/payment_intents/{}", text(&intent, "id"));
        assert_eq!(text(&api.get(&path).await.ok(), "status"), status);
        assert_eq!(
            api.event_types().await.last().map(String::as_str),
            Some(event)
        );
    }
}
