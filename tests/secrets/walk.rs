//! Every place that a request has, in every operation of the document: parts of paths, parameters, headers, every member of
//! a body and the name of one. The document is held to the router, so a route that is added is walked too.

use crate::support::World;
use crate::support::description::{DOCUMENT, resolved};
use crate::things::Things;
use counterfoil::store::{KeyKind, NewKey, Scope};
use reqwest::{Method, RequestBuilder};
use serde_json::{Map, Value, json};

/// The schemes of the document with the kind of key that each takes, and the header that it stands in.
const SCHEMES: [(&str, KeyKind, &str); 8] = [
    ("offersToken", KeyKind::Offers, "authorization"),
    ("shopKey", KeyKind::Shop, "x-api-key"),
    ("customerToken", KeyKind::Customer, "authorization"),
    ("checkoutKey", KeyKind::Bokamera, "x-api-key"),
    (
        "commerceLayerToken",
        KeyKind::CommerceLayer,
        "authorization",
    ),
    ("ledgerKey", KeyKind::Native, "authorization"),
    ("stripeKey", KeyKind::StripeSecret, "authorization"),
    ("stripeKeyAsUser", KeyKind::StripeSecret, "basic"),
];

/// Headers that anybody may set and somebody may log.
const HEADERS: [&str; 8] = [
    "user-agent",
    "request-id",
    "x-request-id",
    "referer",
    "origin",
    "x-forwarded-for",
    "cookie",
    "traceparent",
];

/// What Stripe's own clients may say anywhere under `/v1`: the document leaves that to Stripe's.
const FORM_FIELDS: [&str; 20] = [
    "description",
    "name",
    "email",
    "phone",
    "metadata[canary]",
    "address[line1]",
    "shipping[name]",
    "shipping[address][line1]",
    "statement_descriptor",
    "receipt_email",
    "return_url",
    "success_url",
    "client_reference_id",
    "line_items[0][price_data][product_data][name]",
    "billing_details[name]",
    "payment_method_data[billing_details][name]",
    "payment_method_data[card][number]",
    "evidence[uncategorized_text]",
    "url",
    "expand[]",
];

/// The secret of our key of that kind: it stands nowhere else.
pub fn secret_of(kind: KeyKind) -> String {
    let prefix = if kind == KeyKind::StripeSecret {
        "sk_test_"
    } else {
        ""
    };
    format!(
        "{prefix}canaryBearerOf{}Zq7Xw",
        kind.to_string().replace('_', "")
    )
}

pub fn all_kinds() -> Vec<KeyKind> {
    let mut kinds: Vec<KeyKind> = SCHEMES.iter().map(|it| it.1).collect();
    kinds.dedup();
    kinds
}

/// Makes the keys that the walk presents.
pub async fn make_keys(world: &World) {
    let scopes = [
        Scope::PaymentsRead,
        Scope::PaymentsWrite,
        Scope::LedgerRead,
        Scope::Admin,
        Scope::Approve,
        Scope::Operator,
    ];
    for kind in all_kinds() {
        let key = NewKey {
            key_id: &format!("key_canary_{kind}"),
            secret: &secret_of(kind).into(),
            merchant: &"acme".parse().unwrap(),
            kind,
            scopes: &scopes,
            customer: (kind == KeyKind::Customer).then_some("customer-9"),
        };
        world.app().store().keys.put_key(&key).await.unwrap();
    }
}

/// One operation of the document.
#[derive(Clone, Copy)]
pub struct Operation {
    pub method: &'static str,
    pub path: &'static str,
    said: &'static Value,
}

/// All of them: what reads first, what takes away last.
pub fn operations() -> Vec<Operation> {
    let paths = DOCUMENT["paths"].as_object().unwrap();
    let order = ["get", "post", "put", "patch", "delete"];
    let of = |method: &'static str| {
        paths
            .iter()
            .filter(move |(_, item)| item.get(method).is_some())
            .map(move |(path, item)| Operation {
                method,
                path,
                said: &item[method],
            })
    };
    order.into_iter().flat_map(of).collect()
}

/// Where in a request something is put.
#[derive(Clone, Debug)]
pub enum Place {
    /// Instead of the part of the path of that name.
    Part(String),
    Query(String),
    Header(String),
    /// At a JSON pointer of the body.
    Member(String),
    /// As the name of a member beside the others at a JSON pointer.
    Name(String),
    /// As a field of a form in Stripe's rendering.
    Field(&'static str),
    /// As the name of a pair of metadata there.
    FieldName,
}

/// A body in one of its renderings.
enum Body {
    None,
    Json(&'static str, Value),
    Form(Vec<(String, String)>),
}

impl Operation {
    /// Every place of its requests.
    pub fn places(&self) -> Vec<Place> {
        let parts = self.path.split(['{', '}']).skip(1).step_by(2);
        let mut places: Vec<Place> = parts.map(|it| Place::Part(it.to_owned())).collect();
        let parameters = self.said["parameters"].as_array().into_iter().flatten();
        for parameter in parameters.map(resolved) {
            let name = parameter["name"].as_str().unwrap().to_owned();
            match parameter["in"].as_str() {
                // Whole families are described as one.
                Some("query") if parameter["style"] == "deepObject" => {
                    let member = if name == "filter" {
                        "q][reference_eq"
                    } else {
                        "canary"
                    };
                    places.push(Place::Query(format!("{name}[{member}]")));
                }
                Some("query") => places.push(Place::Query(name)),
                Some("header") => places.push(Place::Header(name.to_ascii_lowercase())),
                _ => {}
            }
        }
        places.push(Place::Query("canary".to_owned()));
        if self.method != "get" {
            places.push(Place::Header("idempotency-key".to_owned()));
        }
        // They are read before it is known which operation it is: each goes to a quarter of them.
        let some = HEADERS.iter().skip(self.path.len() % 4).step_by(4);
        places.extend(some.map(|it| Place::Header((*it).to_owned())));
        if let Some((_, mut body, schema)) = self.json_body() {
            complete(&mut body, schema, 0);
            pointers(&body, "", &mut places);
            places.push(Place::Member("/canary".to_owned()));
        }
        if self.takes_stripes_forms() {
            places.extend(FORM_FIELDS.map(Place::Field));
            places.push(Place::FieldName);
        }
        places
    }

    fn takes_stripes_forms(&self) -> bool {
        self.path.starts_with("/v1/") && self.method == "post"
    }

    /// The body that the document shows, and its schema.
    fn json_body(&self) -> Option<(&'static str, Value, &'static Value)> {
        let content = self.said["requestBody"]["content"].as_object()?;
        let (media_type, said) = content.iter().find(|it| it.0.ends_with("json"))?;
        let several = said["examples"].as_object().into_iter().flatten();
        let mut several = several.map(|(_, it)| &resolved(it)["value"]);
        let body = several.next_back().or_else(|| said.get("example")).cloned();
        Some((media_type, body.unwrap_or(json!({})), &said["schema"]))
    }

    /// A request with `text` in that place, and the right keys.
    pub fn request(
        &self,
        world: &World,
        things: &Things,
        place: &Place,
        text: &str,
    ) -> RequestBuilder {
        let mut path = match self.path {
            "/webhooks/stripe/{merchant}" => "/webhooks/stripe/acme".to_owned(),
            path => things.placed(path),
        };
        if let Place::Part(name) = place {
            path = with_part(self.path, &path, name, text);
        }
        let mut query = self.required("query");
        if let Place::Query(name) = place {
            query.retain(|it| it.0 != *name);
            query.push((name.clone(), text.to_owned()));
        }
        let query = serde_urlencoded::to_string(query).unwrap();
        let method: Method = self.method.to_ascii_uppercase().parse().unwrap();
        let mut request = world.request(method, &format!("{path}?{query}"));
        for (name, value) in self.required("header") {
            request = request.header(name, value);
        }
        request = self.with_keys(request);
        if let Place::Header(name) = place {
            // What is no letter of ASCII goes out as bytes.
            request = request.header(
                name,
                reqwest::header::HeaderValue::from_bytes(text.as_bytes()).unwrap(),
            );
        }
        match self.body(things, place, text) {
            Body::None => request,
            Body::Json(media_type, body) => request
                .header("content-type", media_type)
                .body(body.to_string()),
            Body::Form(pairs) => form(request, &pairs),
        }
    }

    fn body(&self, things: &Things, place: &Place, text: &str) -> Body {
        match place {
            Place::Field(name) => {
                let mut pairs = self.form();
                pairs.push(((*name).to_owned(), text.to_owned()));
                return Body::Form(pairs);
            }
            Place::FieldName => {
                let mut pairs = self.form();
                pairs.push((format!("metadata[{text}]"), "x".to_owned()));
                return Body::Form(pairs);
            }
            _ => {}
        }
        let Some((media_type, body, _)) = self.json_body() else {
            return Body::None;
        };
        let mut body: Value = serde_json::from_str(&things.named(&body.to_string())).unwrap();
        match place {
            Place::Member(at) => put(&mut body, at, text.into()),
            Place::Name(at) => match body.pointer_mut(at).and_then(Value::as_object_mut) {
                Some(members) => drop(members.insert(text.to_owned(), "x".into())),
                None => put(&mut body, at, json!({text: "x"})),
            },
            _ => {}
        }
        Body::Json(media_type, body)
    }

    /// The pairs without which nothing of that kind is made.
    fn form(&self) -> Vec<(String, String)> {
        let pairs: &[(&str, &str)] = match self.path {
            "/v1/payment_intents" => &[("amount", "1000"), ("currency", "usd")],
            "/v1/checkout/sessions" => &[("mode", "setup"), ("currency", "usd")],
            "/v1/payment_methods" => &[("type", "card"), ("card[token]", "tok_visa")],
            "/v1/webhook_endpoints" => &[("enabled_events[]", "*")],
            _ => &[],
        };
        pairs
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect()
    }

    fn required(&self, place: &str) -> Vec<(String, String)> {
        let parameters = self.said["parameters"].as_array().into_iter().flatten();
        let needed = parameters
            .map(resolved)
            .filter(|it| it["required"] == true && it["in"] == place);
        let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
        needed
            .map(|it| (text(&it["name"]), text(&it["example"])))
            .collect()
    }

    fn with_keys(&self, request: RequestBuilder) -> RequestBuilder {
        let Some(way) = self.said["security"][0].as_object() else {
            return request;
        };
        way.keys().fold(request, |request, name| {
            let scheme = SCHEMES.iter().find(|it| it.0 == name);
            let (_, kind, header) =
                scheme.unwrap_or_else(|| panic!("the walk has no key of the scheme {name}"));
            let key = secret_of(*kind);
            match *header {
                "authorization" => request.bearer_auth(key),
                "basic" => request.basic_auth(key, None::<&str>),
                header => request.header(header, key),
            }
        })
    }
}

/// In Stripe's rendering, as its clients send it.
pub fn form(
    request: RequestBuilder,
    pairs: &[(impl AsRef<str>, impl AsRef<str>)],
) -> RequestBuilder {
    let pairs: Vec<(&str, &str)> = pairs
        .iter()
        .map(|it| (it.0.as_ref(), it.1.as_ref()))
        .collect();
    request
        .header("stripe-version", "2023-08-16")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(serde_urlencoded::to_string(pairs).unwrap())
}

/// The path with that part of its template replaced.
fn with_part(template: &str, path: &str, name: &str, text: &str) -> String {
    let encoded: String = text
        .bytes()
        .map(|it| {
            let plain = it.is_ascii_alphanumeric() || it == b'-';
            if plain {
                char::from(it).to_string()
            } else {
                format!("%{it:02X}")
            }
        })
        .collect();
    let parts = template.split('/').zip(path.split('/'));
    let parts: Vec<&str> = parts
        .map(|(template, part)| {
            if template == format!("{{{name}}}") {
                encoded.as_str()
            } else {
                part
            }
        })
        .collect();
    parts.join("/")
}

/// Every text of the body, and every object that takes one more name.
fn pointers(value: &Value, at: &str, places: &mut Vec<Place>) {
    match value {
        Value::Object(members) => {
            places.push(Place::Name(at.to_owned()));
            for (name, member) in members {
                pointers(member, &format!("{at}/{name}"), places);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate().take(1) {
                pointers(item, &format!("{at}/{index}"), places);
            }
        }
        _ => places.push(Place::Member(at.to_owned())),
    }
}

/// Adds what the schema knows and the example does not show.
fn complete(body: &mut Value, schema: &'static Value, depth: usize) {
    let schema = resolved(schema);
    if depth > 3 {
        return;
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        complete(body, part, depth + 1);
    }
    let (Some(members), Some(known)) = (body.as_object_mut(), schema["properties"].as_object())
    else {
        return;
    };
    for (name, of) in known {
        match members.get_mut(name) {
            Some(member) => complete(member, of, depth + 1),
            None => {
                let mut made = Value::Null;
                if resolved(of)["properties"].is_object() {
                    made = Value::Object(Map::new());
                    complete(&mut made, of, depth + 1);
                }
                members.insert(name.clone(), made);
            }
        }
    }
}

/// Puts `value` at the pointer, and objects on the way there where none are.
fn put(body: &mut Value, at: &str, value: Value) {
    if let Some(there) = body.pointer_mut(at) {
        *there = value;
        return;
    }
    let (parent, name) = at.rsplit_once('/').unwrap();
    if !matches!(body.pointer(parent), Some(Value::Object(_))) {
        put(body, parent, json!({}));
    }
    let members = body
        .pointer_mut(parent)
        .and_then(Value::as_object_mut)
        .unwrap();
    members.insert(name.to_owned(), value);
}
