//! Reading the key that a caller presents: parsing alone. Whose key it is, and whether it is one at all, is looked
//! up elsewhere, in constant time.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};
use secrecy::SecretString;

/// Longer than any key that anybody issues; what is longer is not looked at.
const KEY_BYTES_MAX: usize = 512;

/// A key as presented, not yet known to anybody. Its `Debug` shows nothing of it.
#[derive(Clone, Debug)]
pub struct PresentedKey(SecretString);

impl PresentedKey {
    /// The key itself, for the look-up and for nothing else.
    pub fn secret(&self) -> &SecretString {
        &self.0
    }

    /// The key in a field of a body, for the doors that take one there.
    ///
    /// # Errors
    /// [`MalformedKey`] where the field holds no key.
    pub fn of_field(text: &str) -> Result<Self, MalformedKey> {
        Self::checked(text)
    }

    fn checked(text: &str) -> Result<Self, MalformedKey> {
        let text = text.trim_matches(' ');
        if text.is_empty() {
            return Err(MalformedKey::Empty);
        }
        if text.len() > KEY_BYTES_MAX {
            return Err(MalformedKey::TooLong);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(MalformedKey::OddCharacters);
        }
        Ok(Self(text.into()))
    }
}

/// A header is there, but no key can be read from it. Doors answer it as they answer an unknown key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedKey {
    /// The header has no key in it.
    #[error("the key is empty")]
    Empty,
    /// More than 512 bytes.
    #[error("the key is too long")]
    TooLong,
    /// Something else than visible ASCII.
    #[error("the key holds characters that no key has")]
    OddCharacters,
    /// An `Authorization` of a scheme that is not spoken here.
    #[error("the authorization scheme is not the expected one")]
    OtherScheme,
    /// `Basic` without a base64 text of `user:password` behind it.
    #[error("the basic credentials are not base64 of `user:password`")]
    NotBasic,
    /// The header is there more than once, so that it is unclear who asks.
    #[error("the header is there more than once")]
    Repeated,
}

/// The key in `Authorization: Bearer …`; `None` where the header is absent.
///
/// # Errors
/// [`MalformedKey`] where the header is there but holds no bearer key.
pub fn bearer(headers: &HeaderMap) -> Result<Option<PresentedKey>, MalformedKey> {
    let Some(value) = single(headers, &AUTHORIZATION)? else {
        return Ok(None);
    };
    let key = after_scheme(value, "bearer").ok_or(MalformedKey::OtherScheme)?;
    PresentedKey::checked(key).map(Some)
}

/// The key in `Authorization: Bearer …` or, as Stripe's users do with curl's `-u`, in `Basic` as the user name
/// (the password is not looked at); `None` where the header is absent.
///
/// # Errors
/// [`MalformedKey`] where the header is there but holds neither.
pub fn bearer_or_basic(headers: &HeaderMap) -> Result<Option<PresentedKey>, MalformedKey> {
    let Some(value) = single(headers, &AUTHORIZATION)? else {
        return Ok(None);
    };
    let Some(encoded) = after_scheme(value, "basic") else {
        return bearer(headers);
    };
    let decoded = BASE64_STANDARD
        .decode(encoded.trim_matches(' '))
        .map_err(|_| MalformedKey::NotBasic)?;
    let decoded = String::from_utf8(decoded).map_err(|_| MalformedKey::NotBasic)?;
    let (user, _password) = decoded.split_once(':').ok_or(MalformedKey::NotBasic)?;
    PresentedKey::checked(user).map(Some)
}

/// The key that is the whole of a header such as `X-API-Key`; `None` where the header is absent.
///
/// # Errors
/// [`MalformedKey`] where the header is there but holds no key.
pub fn header(
    headers: &HeaderMap,
    name: &HeaderName,
) -> Result<Option<PresentedKey>, MalformedKey> {
    single(headers, name)?
        .map(PresentedKey::checked)
        .transpose()
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, MalformedKey> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(MalformedKey::Repeated);
    }
    value
        .to_str()
        .map(Some)
        .map_err(|_| MalformedKey::OddCharacters)
}

/// What follows the scheme, whose case does not matter.
fn after_scheme<'a>(value: &'a str, scheme: &str) -> Option<&'a str> {
    let (first, rest) = value
        .trim_matches(' ')
        .split_once(' ')
        .unwrap_or((value.trim_matches(' '), ""));
    first.eq_ignore_ascii_case(scheme).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    type Read = fn(&HeaderMap) -> Result<Option<PresentedKey>, MalformedKey>;
    type Outcome = Result<Option<String>, MalformedKey>;

    fn x_api_key(headers: &HeaderMap) -> Result<Option<PresentedKey>, MalformedKey> {
        header(headers, &HeaderName::from_static("x-api-key"))
    }

    fn read(how: Read, lines: &[(&'static str, &[u8])]) -> Outcome {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, http::HeaderValue::from_bytes(value).unwrap());
        }
        Ok(how(&headers)?.map(|key| key.secret().expose_secret().to_owned()))
    }

    #[test]
    fn a_key_is_read_from_each_place_it_may_stand_in() {
        let ok = |key: &str| Ok(Some(key.to_owned()));
        let table: [(Read, &[u8], Outcome); 12] = [
            (bearer, b"Bearer sk_test_acme", ok("sk_test_acme")),
            (bearer, b"bearer   sk_test_acme ", ok("sk_test_acme")),
            (bearer, b"Bearer", Err(MalformedKey::Empty)),
            (bearer, b"Bearer a b", Err(MalformedKey::OddCharacters)),
            (bearer, b"Bearer \xfc", Err(MalformedKey::OddCharacters)),
            (
                bearer,
                b"Basic c2tfdGVzdF9hY21lOg==",
                Err(MalformedKey::OtherScheme),
            ),
            (
                bearer_or_basic,
                b"Basic c2tfdGVzdF9hY21lOg==",
                ok("sk_test_acme"),
            ),
            (
                bearer_or_basic,
                b"BASIC c2tfdGVzdF9hY21lOmlnbm9yZWQ=",
                ok("sk_test_acme"),
            ),
            (bearer_or_basic, b"Bearer sk_test_acme", ok("sk_test_acme")),
            (
                bearer_or_basic,
                b"Basic c2tfdGVzdF9hY21l",
                Err(MalformedKey::NotBasic),
            ),
            (bearer_or_basic, b"Basic ***", Err(MalformedKey::NotBasic)),
            (bearer_or_basic, b"Basic Og==", Err(MalformedKey::Empty)),
        ];
        for (how, value, expected) in table {
            let shown = String::from_utf8_lossy(value).into_owned();
            assert_eq!(read(how, &[("authorization", value)]), expected, "{shown}");
        }
        assert_eq!(
            read(x_api_key, &[("x-api-key", b"123456789")]),
            ok("123456789")
        );
    }

    #[test]
    fn an_absent_header_is_no_error() {
        for how in [bearer as Read, bearer_or_basic, x_api_key] {
            assert_eq!(read(how, &[]), Ok(None));
        }
    }

    #[test]
    fn a_repeated_header_leaves_unclear_who_asks() {
        let twice: &[(&str, &[u8])] = &[
            ("authorization", b"Bearer a"),
            ("authorization", b"Bearer b"),
        ];
        assert_eq!(read(bearer, twice), Err(MalformedKey::Repeated));
    }

    #[test]
    fn a_huge_key_is_not_looked_at() {
        let huge = "a".repeat(KEY_BYTES_MAX + 1);
        assert_eq!(
            read(x_api_key, &[("x-api-key", huge.as_bytes())]),
            Err(MalformedKey::TooLong)
        );
    }

    #[test]
    fn a_presented_key_does_not_show_itself() {
        let key = PresentedKey::checked("sk_test_acme").unwrap();
        assert!(!format!("{key:?}").contains("acme"));
    }
}
