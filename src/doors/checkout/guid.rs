//! GUIDs, as .NET spells them.

use uuid::Uuid;

/// A GUID in any of .NET's spellings: 32 digits (N), with hyphens (D), in braces (B), in parentheses (P), or as hexadecimal
/// numbers in braces (X).
pub fn read(text: &str) -> Option<Uuid> {
    let text = text.trim();
    let inner = |open: char, close: char| text.strip_prefix(open)?.strip_suffix(close);
    match text.chars().next()? {
        '(' => hyphenated(inner('(', ')')?),
        '{' if text.contains(',') => numbers(text),
        '{' => hyphenated(inner('{', '}')?),
        _ if text.len() == 32 => plain(text),
        _ => hyphenated(text),
    }
}

fn plain(text: &str) -> Option<Uuid> {
    let digits = text.bytes().all(|it| it.is_ascii_hexdigit() || it == b'-');
    Uuid::try_parse(text).ok().filter(|_| digits)
}

fn hyphenated(text: &str) -> Option<Uuid> {
    plain(text).filter(|_| text.len() == 36)
}

/// `{0x…,0x…,0x…,{0x…,…}}`: one number of 32 bits, two of 16, eight of 8.
fn numbers(text: &str) -> Option<Uuid> {
    let text: String = text.split_whitespace().collect();
    let (head, tail) = text
        .strip_prefix('{')?
        .strip_suffix("}}")?
        .split_once(",{")?;
    let number = |text: &str| {
        let digits = text.strip_prefix("0x").or(text.strip_prefix("0X"))?;
        let plain = digits.bytes().all(|it| it.is_ascii_hexdigit());
        u32::from_str_radix(digits, 16).ok().filter(|_| plain)
    };
    let mut head = head.split(',').map(number);
    let first = head.next()??;
    let second = u16::try_from(head.next()??).ok()?;
    let third = u16::try_from(head.next()??).ok()?;
    let bytes: Vec<u8> = tail
        .split(',')
        .map(|it| u8::try_from(number(it)?).ok())
        .collect::<Option<_>>()?;
    let bytes: [u8; 8] = bytes.try_into().ok()?;
    head.next()
        .is_none()
        .then(|| Uuid::from_fields(first, second, third, &bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_dot_net_is_read_and_no_other() {
        let guid = Uuid::from_u128(0xca76_1232_ed42_11ce_bacd_00aa_0057_b223);
        for spelling in [
            "ca761232ed4211cebacd00aa0057b223",
            "CA761232-ED42-11CE-BACD-00AA0057B223",
            "{ca761232-ed42-11ce-bacd-00aa0057b223}",
            "(ca761232-ed42-11ce-bacd-00aa0057b223)",
            "{0xca761232,0xed42,0x11ce,{0xba,0xcd,0x00,0xaa,0x00,0x57,0xb2,0x23}}",
            " {0xCA761232, 0xED42, 0x11CE, {0xBA, 0xCD, 0x0, 0xAA, 0x0, 0x57, 0xB2, 0x23}} ",
        ] {
            assert_eq!(read(spelling), Some(guid), "{spelling}");
        }
        for other in [
            "",
            "ca761232",
            "urn:uuid:ca761232-ed42-11ce-bacd-00aa0057b223",
            "{ca761232ed4211cebacd00aa0057b223}",
            "(ca761232-ed42-11ce-bacd-00aa0057b223}",
            "ca761232-ed42-11ce-bacd-00aa0057b22g",
            "{0xca761232,0xed42,0x11ce,{0xba,0xcd,0x00,0xaa,0x00,0x57,0xb2}}",
            "{0xca761232,0xed42,0x11ce,{0xba,0xcd,0x00,0xaa,0x00,0x57,0xb2,0x100}}",
            "{0xca761232,0xed42,{0xba,0xcd,0x00,0xaa,0x00,0x57,0xb2,0x23}}",
            "{0x+1,0xed42,0x11ce,{0xba,0xcd,0x00,0xaa,0x00,0x57,0xb2,0x23}}",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
