//! Looks for what Stripe may have done, without asking for it again: by our own id in an object's metadata, or by reading the
//! object and comparing.
//!
//! Stripe's search is quick, and may lag behind by a minute and, when Stripe is in trouble, by an hour: what it shows is so,
//! what it does not show proves nothing. The lists are up to date, and are read to their end: what they do not show is not there.

use aggregates::ids::{IntentionId, PaymentId, RefundId};
use aggregates::payment::event::Changes;
use aggregates::payment::lookup::Shown;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::answers::refund_from;
use super::{
    Gateway, IntentView, Outcome, PAYMENT_KEY, REFUND_KEY, REQUEST_KEY, RefundView, Request,
    Silence, SilenceKind, StripeAnswer, Verb,
};
use crate::personal::Personal;

/// How many pages of a hundred objects are read at the most: beyond that nothing is proved.
const PAGES_MAX: u32 = 500;
/// How far Stripe's clock may be behind the database's.
const CLOCKS_APART: TimeDelta = TimeDelta::minutes(10);

impl Gateway {
    /// The intent that carries our payment's id, as it stands now. `since`: when making it was intended. None where there is
    /// none: the account's intents since then were read to the last.
    pub async fn find_intent(
        &self,
        account: &str,
        payment: PaymentId,
        since: DateTime<Utc>,
    ) -> Outcome<Option<IntentView>> {
        let id = payment.to_string();
        let found = match self.search(account, &id).await {
            Some(found) => Some(found),
            None => {
                let query = since_query(since);
                let is_it = |it: &Value| marked(it, PAYMENT_KEY, &id);
                match self.first(account, "/payment_intents", &query, is_it).await {
                    Outcome::Said(found) => found.as_ref().and_then(id_of),
                    Outcome::Refused(refusal) => return Outcome::Refused(refusal),
                    Outcome::Unknown(silence) => return Outcome::Unknown(silence),
                }
            }
        };
        let Some(intent) = found else {
            return Outcome::Said(None);
        };
        match self.intent(account, &intent).await {
            Outcome::Said(view) => Outcome::Said(Some(view)),
            Outcome::Refused(refusal) => Outcome::Refused(refusal),
            Outcome::Unknown(silence) => Outcome::Unknown(silence),
        }
    }

    /// The intent's refund that carries our refund's id. None where there is none.
    pub async fn find_refund(
        &self,
        account: &str,
        intent: &str,
        refund: RefundId,
    ) -> Outcome<Option<RefundView>> {
        let id = refund.to_string();
        let query = pairs(&[("payment_intent", intent)]);
        let is_it = |it: &Value| marked(it, REFUND_KEY, &id);
        let found = match self.first(account, "/refunds", &query, is_it).await {
            Outcome::Said(found) => found,
            Outcome::Refused(refusal) => return Outcome::Refused(refusal),
            Outcome::Unknown(silence) => return Outcome::Unknown(silence),
        };
        match found.map(refund_from).transpose() {
            Ok(snapshot) => Outcome::Said(snapshot.map(|snapshot| RefundView {
                snapshot,
                answer: None,
            })),
            Err(unreadable) => Outcome::Unknown(unreadable.into()),
        }
    }

    /// The object of a collection (`/customers`) that carries the id of the request that was to make it. None where there is none.
    pub async fn find_made(
        &self,
        account: &str,
        collection: &str,
        request: IntentionId,
        since: DateTime<Utc>,
    ) -> Outcome<Option<StripeAnswer>> {
        let id = request.to_string();
        let is_it = |it: &Value| marked(it, REQUEST_KEY, &id);
        let query = since_query(since);
        let found = match self.first(account, collection, &query, is_it).await {
            Outcome::Said(found) => found.as_ref().and_then(id_of),
            Outcome::Refused(refusal) => return Outcome::Refused(refusal),
            Outcome::Unknown(silence) => return Outcome::Unknown(silence),
        };
        let Some(id) = found else {
            return Outcome::Said(None);
        };
        // A list may show less of it than its own page does.
        let request = Request {
            verb: Verb::Get,
            path: &format!("{collection}/{id}"),
            parameters: None,
            key: None,
        };
        match self.request(account, request).await {
            Outcome::Said(answer) if answer.status < 300 => Outcome::Said(Some(answer)),
            Outcome::Said(answer) => {
                let why = format!("Stripe answered {} to what it lists", answer.status);
                Outcome::Unknown(Silence::new(SilenceKind::Unreadable, why))
            }
            Outcome::Refused(refusal) => Outcome::Refused(refusal),
            Outcome::Unknown(silence) => Outcome::Unknown(silence),
        }
    }

    /// What the search shows, if it shows anything. It may be wrong only by showing too little.
    async fn search(&self, account: &str, payment: &str) -> Option<String> {
        let query = pairs(&[("query", &format!("metadata['{PAYMENT_KEY}']:'{payment}'"))]);
        let request = Request {
            verb: Verb::Get,
            path: "/payment_intents/search",
            parameters: Some(&query),
            key: None,
        };
        match self.request(account, request).await {
            Outcome::Said(answer) if answer.status < 300 => page(&answer.body)
                .iter()
                .find(|it| marked(it, PAYMENT_KEY, payment))
                .and_then(id_of),
            _ => None,
        }
    }

    /// The first object of a list that `is_it`, newest first, of all its pages.
    async fn first(
        &self,
        account: &str,
        path: &str,
        query: &str,
        is_it: impl Fn(&Value) -> bool,
    ) -> Outcome<Option<Value>> {
        let mut after = String::new();
        for _ in 0..PAGES_MAX {
            let query = format!("{query}&limit=100{after}");
            let request = Request {
                verb: Verb::Get,
                path,
                parameters: Some(&query),
                key: None,
            };
            let answer = match self.request(account, request).await {
                Outcome::Said(answer) if answer.status < 300 => answer,
                Outcome::Said(answer) => {
                    let why = format!("Stripe answered {} to a list", answer.status);
                    return Outcome::Unknown(Silence::new(SilenceKind::Unreadable, why));
                }
                Outcome::Refused(refusal) => return Outcome::Refused(refusal),
                Outcome::Unknown(silence) => return Outcome::Unknown(silence),
            };
            let Some(objects) = answer.body.get("data").and_then(Value::as_array) else {
                let silence = Silence::new(SilenceKind::Unreadable, "a list without its data");
                return Outcome::Unknown(silence);
            };
            if let Some(found) = objects.iter().find(|it| is_it(it)) {
                return Outcome::Said(Some(found.clone()));
            }
            match (answer.body.get("has_more"), objects.last().and_then(id_of)) {
                (Some(Value::Bool(true)), Some(last)) => {
                    after = format!("&{}", pairs(&[("starting_after", &last)]));
                }
                (Some(Value::Bool(false)), _) => return Outcome::Said(None),
                _ => {
                    let silence = Silence::new(SilenceKind::Unreadable, "a list without an end");
                    return Outcome::Unknown(silence);
                }
            }
        }
        let why = format!("{path} has more than {PAGES_MAX} pages");
        Outcome::Unknown(Silence::new(SilenceKind::ListTooLong, why))
    }
}

fn since_query(since: DateTime<Utc>) -> String {
    let from = (since - CLOCKS_APART).timestamp().to_string();
    pairs(&[("created[gte]", &from)])
}

pub(super) fn pairs(pairs: &[(&str, &str)]) -> String {
    serde_urlencoded::to_string(pairs).expect("pairs of texts always encode")
}

fn page(list: &Value) -> &[Value] {
    let data = list.get("data").and_then(Value::as_array);
    data.map(Vec::as_slice).unwrap_or_default()
}

fn marked(object: &Value, key: &str, id: &str) -> bool {
    let mark = object.get("metadata").and_then(|it| it.get(key));
    mark.and_then(Value::as_str) == Some(id)
}

pub(super) fn id_of(object: &Value) -> Option<String> {
    object.get("id").and_then(Value::as_str).map(str::to_owned)
}

/// What Stripe answers as it was given: where such a field shows another value, the change was not made (or unmade since).
const ECHOED: &[&str] = &[
    "amount",
    "customer",
    "description",
    "metadata",
    "name",
    "payment_method",
    "receipt_email",
    "shipping",
];

/// Whether Stripe's intent shows what a change asks for.
pub fn shows_changes(intent: &Value, it: &Changes, personal: Option<&Personal>) -> Shown {
    let mut asked: Vec<(String, String)> = Vec::new();
    let mut add = |name: String, value: &str| asked.push((name, value.to_owned()));
    let named = [
        ("payment_method", &it.payment_method),
        ("customer", &it.customer),
        ("description", &it.description),
    ];
    for (name, value) in named {
        if let Some(value) = value {
            add(name.to_owned(), value);
        }
    }
    if let Some(amount) = it.amount {
        add("amount".to_owned(), &amount.minor().to_string());
    }
    for (key, value) in &it.metadata {
        add(format!("metadata[{key}]"), value);
    }
    for (name, value) in it.parameters.iter() {
        add(name.to_owned(), value);
    }
    if let Some(email) = personal.and_then(|it| it.email.as_ref()) {
        add("receipt_email".to_owned(), email);
    }
    if let Some(shipping) = personal.and_then(|it| it.shipping.as_ref()) {
        add("shipping[name]".to_owned(), &shipping.name);
        let line1 = shipping.address.line1.as_ref();
        if let Some(line1) = line1 {
            add("shipping[address][line1]".to_owned(), line1);
        }
    }
    shows(intent, &asked)
}

/// Whether Stripe's object shows what a form asks of it.
pub fn shows_form(object: &Value, form: &str) -> Shown {
    match serde_urlencoded::from_str::<Vec<(String, String)>>(form) {
        Ok(asked) => shows(object, &asked),
        Err(_) => Shown::Unclear,
    }
}

fn shows(object: &Value, asked: &[(String, String)]) -> Shown {
    let mut all = Shown::Done;
    for (name, value) in asked {
        match shows_one(object, name, value) {
            Shown::Done => {}
            Shown::NotDone => return Shown::NotDone,
            Shown::Unclear => all = Shown::Unclear,
        }
    }
    all
}

fn shows_one(object: &Value, name: &str, asked: &str) -> Shown {
    let mut path = name.split(['[', ']']).filter(|part| !part.is_empty());
    let root = path.next().unwrap_or_default();
    if root == "expand" {
        return Shown::Done;
    }
    let found = path.try_fold(object.get(root).unwrap_or(&Value::Null), |at, part| {
        Some(at.get(part).unwrap_or(&Value::Null))
    });
    let is_so = match found.unwrap_or(&Value::Null) {
        Value::Null => asked.is_empty(),
        Value::String(text) => text == asked,
        Value::Object(object) => object.get("id").and_then(Value::as_str) == Some(asked),
        other => {
            // Numbers and truths, as a form writes them.
            let written = other.to_string();
            written == asked
        }
    };
    // Stripe's tokens for test cards make a new method each time.
    let renamed = root == "payment_method" && asked.starts_with("pm_card_");
    match is_so {
        true => Shown::Done,
        false if ECHOED.contains(&root) && !renamed => Shown::NotDone,
        false => Shown::Unclear,
    }
}

#[cfg(test)]
mod tests {
    use super::{Shown, shows_form};
    use serde_json::json;

    /// Planted bug: taking a field that Stripe does not answer for one that it left as it was ends what may have happened.
    #[test]
    fn a_form_is_compared_with_what_stripe_shows_as_far_as_stripe_shows_it() {
        let customer = json!({"id": "cus_1", "name": "Ann", "metadata": {"a": "1"}, "email": "ann@example.com", "balance": 5});
        for (form, shown) in [
            ("name=Ann&metadata[a]=1", Shown::Done),
            ("name=Ann&expand[0]=default_source", Shown::Done),
            ("metadata[b]=", Shown::Done),
            ("balance=5", Shown::Done),
            ("name=Bob", Shown::NotDone),
            ("metadata[a]=2", Shown::NotDone),
            ("metadata[a]=", Shown::NotDone),
            ("email=other@example.com", Shown::Unclear),
            ("source=tok_1", Shown::Unclear),
            ("source=tok_1&name=Bob", Shown::NotDone),
        ] {
            assert_eq!(shows_form(&customer, form), shown, "{form}");
        }
    }
}
