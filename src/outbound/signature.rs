//! `Stripe-Signature`, made as Stripe makes it, so that the SDKs' own verifiers take it.

use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

/// `t=…,v1=…`: the seconds of `at`, and for each secret the HMAC-SHA-256 of `t.body` in hex. While a secret is rolled
/// there are two, and a receiver takes either.
pub fn signature(at: DateTime<Utc>, body: &[u8], secrets: &[SecretString]) -> String {
    let time = at.timestamp().to_string();
    let mut header = format!("t={time}");
    for secret in secrets {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes())
            .expect("HMAC takes a key of any length");
        mac.update(time.as_bytes());
        mac.update(b".");
        mac.update(body);
        header.push_str(",v1=");
        header.push_str(&hex::encode(mac.finalize().into_bytes()));
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values were made with `openssl dgst -sha256 -hmac`, not with this code.
    #[test]
    fn a_signature_is_what_any_other_implementation_makes_of_time_and_body() {
        let at = DateTime::from_timestamp(1_700_000_000, 999_000_000).unwrap();
        let secrets = ["whsec_one".to_owned().into(), "whsec_two".to_owned().into()];
        assert_eq!(signature(at, b"{\"a\":1}", &secrets), SIGNED);
    }

    const SIGNED: &str = "t=1700000000,\
        v1=3c2a43f6f69d57ddfe8e506b006b338393c7a8c400e77c5f191ba17e15763c74,\
        v1=a80e630a9bbb756763ae24b15708f6ef71b45a4c060b6ec64409d78544ed0f70";
}
