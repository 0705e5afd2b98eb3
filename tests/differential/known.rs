//! The one table of what may differ between the door and Stripe itself, each with its reason.

use crate::side::Call;
use reqwest::Method;
use serde_json::{Value, json};

/// A difference that is meant.
struct Known {
    /// Why it is right that the door differs.
    why: &'static str,
    /// On which calls it shows.
    on: fn(&Call) -> bool,
    /// Takes it out of both answers.
    forgive: fn(&mut Value, &mut Value),
}

const KNOWN: &[Known] = &[
    Known {
        why: "What the door refuses by itself has no entry in the logs of Stripe's dashboard to lead to.",
        on: |_| true,
        forgive: |door, direct| {
            for side in [door, direct] {
                remove(side, "request_log_url");
            }
        },
    },
    Known {
        why: "Lists show no client secret: who may list needs none, and it would end in logs.",
        on: |call| call.method == Method::GET,
        forgive: |_, direct| {
            for item in direct
                .pointer_mut("/body/data")
                .and_then(Value::as_array_mut)
                .into_iter()
                .flatten()
            {
                if item["object"] == "payment_intent" {
                    item["client_secret"] = Value::Null;
                }
            }
        },
    },
    Known {
        why: "Of a method that an address does not know every door says 405 with Allow, where Stripe says 404.",
        on: |call| call.method == Method::DELETE && call.path.starts_with("/v1/payment_intents/"),
        forgive: |door, direct| {
            assert_eq!(
                (&door["status"], &direct["status"]),
                (&json!(405), &json!(404))
            );
            *door = Value::Null;
            *direct = Value::Null;
        },
    },
    Known {
        why: "Where a key was used elsewhere, the door says that the request differs; the address of the first one is not kept.",
        on: |_| true,
        forgive: |door, direct| {
            let used_elsewhere = direct["body"]["error"]["message"]
                .as_str()
                .is_some_and(|it| it.contains("same endpoint they were first used for"));
            if used_elsewhere && door["body"]["error"]["type"] == "idempotency_error" {
                remove(door, "message");
                remove(direct, "message");
            }
        },
    },
    Known {
        why: "No value is repeated: it may be a card number in the wrong place. The parameter is named all the same.",
        on: |_| true,
        forgive: |door, direct| {
            let repeats = direct["body"]["error"]["message"]
                .as_str()
                .is_some_and(|it| {
                    it.starts_with("Invalid integer: ") || it.starts_with("Invalid currency: ")
                });
            if repeats {
                remove(door, "message");
                remove(direct, "message");
            }
        },
    },
    Known {
        why: "Whoever runs this service helps with keys and addresses, not Stripe's support, which its own words lead to.",
        on: |_| true,
        forgive: |door, direct| {
            let leads_there = direct["body"]["error"]["message"]
                .as_str()
                .is_some_and(|it| it.contains("support.stripe.com"));
            if leads_there {
                remove(door, "message");
                remove(direct, "message");
            }
        },
    },
    Known {
        why: "A number that can be no card's is refused before anything is intended, so there is nothing to keep under the key.",
        on: |call| call.method == Method::POST && call.path.starts_with("/v1/payment_intents"),
        forgive: |door, direct| {
            let raw_card = |side: &Value| {
                side["status"] == 402 && side["body"]["error"]["payment_intent"].is_null()
            };
            if raw_card(door) && raw_card(direct) {
                door["replayed"] = Value::Null;
                direct["replayed"] = Value::Null;
            }
        },
    },
    // One more is not drawn, since all that follows it would differ: an open intent's `currency` can be changed at
    // Stripe and not here. A payment's ledger is kept in one currency for its life; who wants another makes another.
];

/// Removes a member of the error, where there is one.
fn remove(answer: &mut Value, member: &str) {
    if let Some(error) = answer["body"]["error"].as_object_mut() {
        error.remove(member);
    }
}

/// Takes out of both answers what may differ.
pub fn forgive(call: &Call, door: &mut Value, direct: &mut Value) {
    for known in KNOWN.iter().filter(|it| (it.on)(call)) {
        assert!(!known.why.is_empty(), "a known difference has its reason");
        (known.forgive)(door, direct);
    }
}
