//! What a client sends: its token, the offer, and which products of it; as JSON or form-encoded.

use aggregates::catalogue::offer::Wanted;
use axum::extract::Request;
use http::{HeaderMap, HeaderName};
use serde_json::{Map, Value, json};
use std::sync::Arc;

use super::NAME;
use super::error::OffersError;
use super::products;
use crate::doors::firewall::key_holds_card_number;
use crate::http::auth::{self, PresentedKey};
use crate::http::body::{self, MediaType};
use crate::store::{Caller, KeyKind, Scope};
use crate::use_cases::{App, AppError, Idempotency, PayOffer};

static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// In characters.
const IDEMPOTENCY_KEY_LENGTH_MAX: usize = 255;

/// A request, read.
pub struct Asked {
    pub caller: Arc<Caller>,
    pub offer: PayOffer,
    pub key: Option<Idempotency>,
}

/// Who it is by its bearer token, and then what is said; or by the `api_token` that is said along with it. Everything else
/// in the body, prices above all, is not looked at.
pub async fn read(app: &App, request: Request) -> Result<Asked, OffersError> {
    let (parts, body) = request.into_parts();
    let bearer = auth::bearer(&parts.headers).map_err(|_| OffersError::Unauthenticated)?;
    let early = match &bearer {
        Some(key) => Some(caller(app, key).await?),
        None => None,
    };
    let fields = fields(&parts.headers, &body::read(&parts.headers, body).await?)?;
    let caller = match early {
        Some(caller) => caller,
        None => caller(app, &token(&fields)?).await?,
    };
    let offer = PayOffer {
        number: number(fields.get("offer_oid"))?,
        wanted: products::read(fields.get("products"))?,
    };
    let key = idempotency_key(&parts.headers)?.map(|key| {
        let said = canonical(&offer).to_string();
        let fingerprint = app.store().keys.fingerprint(said.as_bytes());
        Idempotency::new(NAME, key, fingerprint, false)
    });
    Ok(Asked { caller, offer, key })
}

/// Whose token it is. Absent, malformed and unknown are answered alike: who asks learns nothing of which tokens there are.
async fn caller(app: &App, presented: &PresentedKey) -> Result<Arc<Caller>, OffersError> {
    let keys = &app.store().keys;
    let found = keys
        .caller(KeyKind::Offers, None, presented.secret())
        .await
        .map_err(AppError::from)?;
    let caller = found.ok_or(OffersError::Unauthenticated)?;
    if !caller.may(Scope::PaymentsWrite) {
        return Err(OffersError::ScopeMissing);
    }
    app.admit(&caller)?;
    Ok(caller)
}

fn token(fields: &Map<String, Value>) -> Result<PresentedKey, OffersError> {
    let text = fields.get("api_token").and_then(Value::as_str);
    text.and_then(|text| PresentedKey::of_field(text).ok())
        .ok_or(OffersError::Unauthenticated)
}

/// A body that begins with a brace is JSON, whatever it is called: some clients label all they send as a form.
fn fields(headers: &HeaderMap, body: &[u8]) -> Result<Map<String, Value>, OffersError> {
    let braced = body.trim_ascii_start().first() == Some(&b'{');
    if MediaType::of(headers) != MediaType::Form || braced {
        return Ok(body::json(body)?);
    }
    let pairs: Vec<(String, String)> =
        serde_urlencoded::from_bytes(body).map_err(|_| OffersError::Invalid {
            field: "body",
            message: "The body is not form-encoded.".to_owned(),
        })?;
    let products = products::of_form(&pairs)?;
    let texts = pairs
        .into_iter()
        .filter(|(name, _)| name == "api_token" || name == "offer_oid")
        .map(|(name, text)| (name, Value::from(text)));
    let products = products.map(|value| ("products".to_owned(), value));
    Ok(texts.chain(products).collect())
}

/// The offer's number: a text, or a whole number.
fn number(value: Option<&Value>) -> Result<String, OffersError> {
    let text = match value {
        None | Some(Value::Null) => "",
        Some(Value::String(text)) => text.trim(),
        Some(Value::Number(number)) if number.is_u64() => return Ok(number.to_string()),
        Some(_) => return Err(of_number("The number of an offer is a text.")),
    };
    if text.is_empty() {
        return Err(of_number("The number of the offer is missing."));
    }
    Ok(text.to_owned())
}

fn of_number(message: &str) -> OffersError {
    OffersError::Invalid {
        field: "offer_oid",
        message: message.to_owned(),
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, OffersError> {
    let mut values = headers.get_all(&IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let text = value
        .to_str()
        .ok()
        .filter(|_| values.next().is_none())
        .unwrap_or_default();
    let fits = (1..=IDEMPOTENCY_KEY_LENGTH_MAX).contains(&text.len());
    if !fits || key_holds_card_number(text) {
        return Err(OffersError::Invalid {
            field: "Idempotency-Key",
            message: format!(
                "An idempotency key is one header of 1 to {IDEMPOTENCY_KEY_LENGTH_MAX} ASCII characters, and no card number."
            ),
        });
    }
    Ok(Some(text.to_owned()))
}

/// What makes two requests the same: the offer and the products, in whatever order and however often they are named.
fn canonical(it: &PayOffer) -> Value {
    let each_once = |codes: &Vec<String>| {
        let mut codes = codes.clone();
        codes.sort_unstable();
        codes.dedup();
        codes
    };
    let wanted = match &it.wanted {
        None => Value::Null,
        Some(Wanted::Codes(codes)) => json!(each_once(codes)),
        Some(Wanted::Grouped(groups)) => groups
            .iter()
            .map(|(group, codes)| json!([group, each_once(codes)]))
            .collect(),
    };
    json!([it.number, wanted])
}

/// Reads a body in each of its types: for fuzzers.
pub(crate) fn parse(bytes: &[u8]) {
    for media_type in ["application/json", "application/x-www-form-urlencoded"] {
        let media_type = http::HeaderValue::from_static(media_type);
        let headers = HeaderMap::from_iter([(http::header::CONTENT_TYPE, media_type)]);
        if let Ok(fields) = fields(&headers, bytes) {
            let _ = token(&fields);
            let _ = number(fields.get("offer_oid"));
            let _ = products::read(fields.get("products"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(products: Value) -> Value {
        canonical(&PayOffer {
            number: "1".to_owned(),
            wanted: products::read(Some(&products)).unwrap_or_default(),
        })
    }

    #[test]
    fn order_and_repetition_make_no_other_request_and_another_selection_does() {
        let one = of(json!({"a": ["x", "y"], "b": ["z"]}));
        assert_eq!(of(json!({"b": ["z", "z"], "a": ["y", "x"]})), one);
        assert_eq!(of(json!(r#"{"a": ["x", "y"], "b": "z"}"#)), one);
        for other in [
            json!({"a": ["x"], "b": ["z"]}),
            json!({"a": ["x", "y", "z"]}),
            json!(["x", "y", "z"]),
            json!([]),
            Value::Null,
        ] {
            assert_ne!(of(other.clone()), one, "{other}");
        }
        assert_ne!(of(json!([])), of(Value::Null));
    }

    #[test]
    fn an_offers_number_is_a_text_or_a_whole_number() {
        assert_eq!(
            number(Some(&json!(" 10311080 "))).ok().as_deref(),
            Some("10311080")
        );
        assert_eq!(
            number(Some(&json!(10311080))).ok().as_deref(),
            Some("10311080")
        );
        for wrong in [
            json!(null),
            json!(""),
            json!(" "),
            json!(1.5),
            json!(-1),
            json!([1]),
        ] {
            assert!(number(Some(&wrong)).is_err(), "{wrong}");
        }
        assert!(number(None).is_err());
    }

    #[test]
    fn a_form_brings_what_json_brings_and_nothing_else() {
        let headers = HeaderMap::from_iter([(
            http::header::CONTENT_TYPE,
            "application/x-www-form-urlencoded".parse().unwrap(),
        )]);
        let text = b"api_token=t&offer_oid=1&amount=5&products[g][]=a&output=json";
        let read = fields(&headers, text).map(Value::Object).ok();
        let expected = json!({"api_token": "t", "offer_oid": "1", "products": {"g": ["a"]}});
        assert_eq!(read, Some(expected));
        let mislabelled = fields(&headers, br#" {"offer_oid": "1"}"#).map(Value::Object);
        assert_eq!(mislabelled.ok(), Some(json!({"offer_oid": "1"})));
    }
}
