//! Ranges of addresses, such as `10.0.0.0/8`.

use std::{borrow::Cow, fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::{PartialSchema, ToSchema, openapi::schema};

/// An address range in CIDR form (RFC 4632). A plain address is a range of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    network: u128,
    mask: u128,
    is_v4: bool,
}

/// The text is not a CIDR range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not an address range like 10.0.0.0/8 or fd00::/8")]
pub struct InvalidCidr(String);

impl Cidr {
    /// Whether `address` is in the range. An IPv4-mapped IPv6 address counts as the IPv4 address it maps.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let (bits, is_v4) = bits(address.to_canonical());
        is_v4 == self.is_v4 && bits & self.mask == self.network
    }
}

impl FromStr for Cidr {
    type Err = InvalidCidr;

    fn from_str(text: &str) -> Result<Self, InvalidCidr> {
        let invalid = || InvalidCidr(text.to_owned());
        let (address, length) = match text.trim().split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text.trim(), None),
        };
        let address: IpAddr = address.parse().map_err(|_| invalid())?;
        let (bits, is_v4) = bits(address);
        let width: u32 = if is_v4 { 32 } else { 128 };
        let length = match length {
            Some(length) => {
                length.parse::<u32>().ok().filter(|length| *length <= width).ok_or_else(invalid)?
            }
            None => width,
        };
        let all = if is_v4 { u128::from(u32::MAX) } else { u128::MAX };
        let mask = if length == 0 { 0 } else { all & (all << (width - length)) };
        Ok(Self { network: bits & mask, mask, is_v4 })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.mask.count_ones();
        if self.is_v4 {
            let bits = u32::try_from(self.network).unwrap_or(0);
            write!(f, "{}/{length}", std::net::Ipv4Addr::from(bits))
        } else {
            write!(f, "{}/{length}", std::net::Ipv6Addr::from(self.network))
        }
    }
}

impl Serialize for Cidr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cidr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl PartialSchema for Cidr {
    fn schema() -> utoipa::openapi::RefOr<schema::Schema> {
        schema::ObjectBuilder::new()
            .schema_type(schema::Type::String)
            .description(Some("A range of addresses, or one address: 10.0.0.0/8, fd00::/8, 192.0.2.7."))
            .examples(["10.0.0.0/8"])
            .into()
    }
}

impl ToSchema for Cidr {}

fn bits(address: IpAddr) -> (u128, bool) {
    match address {
        IpAddr::V4(address) => (u128::from(u32::from(address)), true),
        IpAddr::V6(address) => (u128::from(address), false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_contain_what_they_say() {
        let contains =
            |range: &str, address: &str| range.parse::<Cidr>().unwrap().contains(address.parse().unwrap());
        assert!(contains("10.0.0.0/8", "10.255.0.1"));
        assert!(!contains("10.0.0.0/8", "11.0.0.1"));
        assert!(contains("127.0.0.1", "127.0.0.1"));
        assert!(contains("0.0.0.0/0", "8.8.8.8"));
        assert!(!contains("0.0.0.0/0", "::1"));
        assert!(contains("fd00::/8", "fd12::1"));
        assert!(contains("10.0.0.0/8", "::ffff:10.1.1.1"));
        for bad in ["", "10.0.0.0/33", "10.0.0/8", "::/129", "a/8", "10.0.0.0/-1"] {
            assert!(bad.parse::<Cidr>().is_err(), "{bad}");
        }
        assert_eq!("10.1.2.3/8".parse::<Cidr>().unwrap().to_string(), "10.0.0.0/8");
    }
}
