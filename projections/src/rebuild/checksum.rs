//! A checksum of rows that does not depend on their order.

/// The sum, modulo 2^256, of the SHA-256 of each row's text (`row::text` in UTC, as PostgreSQL writes it).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Checksum([u8; 32]);

impl Checksum {
    /// Counts a row in.
    pub fn add(&mut self, row: &[u8; 32]) {
        let mut carry = 0_u16;
        for (sum, byte) in self.0.iter_mut().zip(row).rev() {
            let [high, low] = (u16::from(*sum) + u16::from(*byte) + carry).to_be_bytes();
            (*sum, carry) = (low, u16::from(high));
        }
    }

    /// Big-endian.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rows: &[[u8; 32]]) -> Checksum {
        let mut sum = Checksum::default();
        for row in rows {
            sum.add(row);
        }
        sum
    }

    #[test]
    fn the_order_of_rows_does_not_matter_and_every_row_counts() {
        let (a, b, c) = ([0xff; 32], [0x01; 32], [0x7f; 32]);
        assert_eq!(of(&[a, b, c]), of(&[c, a, b]));
        assert_ne!(of(&[a, b]), of(&[a, b, b]));
        assert_ne!(of(&[a, a]), of(&[]), "a row does not undo itself");
    }

    #[test]
    fn a_carry_goes_on_to_the_next_byte_and_falls_off_at_the_end() {
        let mut one = [0; 32];
        one[31] = 1;
        let mut carried = [0; 32];
        carried[30] = 1;
        let mut all_but_low = [0; 32];
        all_but_low[31] = 0xff;
        assert_eq!(of(&[all_but_low, one]).bytes(), &carried);
        assert_eq!(of(&[[0xff; 32], one]), Checksum::default());
    }
}
