//! An authority of the server's own, and certificates that it signs: TLS without files.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, Error, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PublicKeyData, SanType, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A year: clients accept it everywhere, and a server that runs longer has `reload_tls`.
const VALIDITY: Duration = Duration::from_secs(365 * 86_400);
/// Certificates begin earlier, for clients whose clocks are behind.
const CLOCK_SKEW: Duration = Duration::from_secs(86_400);

/// The authority. Its key is in this process and nowhere else.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pem: String,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl Authority {
    /// # Errors
    /// The system has no randomness.
    pub(super) fn new() -> Result<Self, Error> {
        let key = KeyPair::generate()?;
        let mut params = params();
        // A name of its own: stores of trusted certificates look authorities up by name.
        let tail = key.der_bytes().iter().rev().take(4);
        let mark = tail.fold(0, |mark, byte| mark << 8 | u32::from(*byte));
        params
            .distinguished_name
            .push(DnType::CommonName, format!("echoserver CA {mark:08x}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?;
        Ok(Self {
            pem: certificate.pem(),
            certificate: certificate.into(),
            issuer: Issuer::new(params, key),
        })
    }

    pub(super) fn pem(&self) -> &str {
        &self.pem
    }

    pub(super) const fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// A new key, and a certificate for it that is valid for these names and addresses, or was until yesterday.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub(super) fn issue(
        &self,
        names: &[String],
        is_expired: bool,
    ) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), Error> {
        let key = KeyPair::generate()?;
        let mut params = params();
        if is_expired {
            params.not_after = params.not_before;
            params.not_before = params.not_after - CLOCK_SKEW;
        }
        params
            .distinguished_name
            .push(DnType::CommonName, "echoserver");
        for name in names {
            if let Some(name) = alt_name(name)
                && !params.subject_alt_names.contains(&name)
            {
                params.subject_alt_names.push(name);
            }
        }
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        // RFC 5280 section 4.2.1.1 demands it, and so does `ssl.VERIFY_X509_STRICT`.
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok((certificate.into(), key.into()))
    }
}

/// Nameless, valid from now on.
fn params() -> CertificateParams {
    let mut params = CertificateParams::default();
    let epoch = date_time_ymd(1970, 1, 1);
    // A clock before 1970 is none.
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    params.not_before = epoch + now.saturating_sub(CLOCK_SKEW);
    params.not_after = epoch + now + VALIDITY;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
}

/// As a certificate names it; `None` for what is no address and no name of the DNS (RFC 1123 section 2.1, with the
/// underscores that containers have). The zone of an address is no part of it.
fn alt_name(name: &str) -> Option<SanType> {
    let address = name
        .split_once('%')
        .map_or(name, |(address, _zone)| address);
    if let Ok(address) = address.parse::<IpAddr>() {
        return (!address.is_unspecified()).then_some(SanType::IpAddress(address));
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    if name.len() > 253 || !name.split('.').all(is_label) {
        return None;
    }
    Some(SanType::DnsName(name.to_ascii_lowercase().try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_name_is_left_out() {
        let name = |name: &str| SanType::DnsName(name.try_into().unwrap());
        assert_eq!(alt_name("LocalHost"), Some(name("localhost")));
        assert_eq!(alt_name("my_box.lan"), Some(name("my_box.lan")));
        assert_eq!(
            alt_name("::1"),
            Some(SanType::IpAddress("::1".parse().unwrap()))
        );
        assert_eq!(
            alt_name("fe80::1%eth0"),
            Some(SanType::IpAddress("fe80::1".parse().unwrap()))
        );
        for bad in [
            "", "a b", "a%eth0", "-a", "a-", "a..b", "bücher", "0.0.0.0", "::",
        ] {
            assert_eq!(alt_name(bad), None, "{bad}");
        }
        assert_eq!(alt_name(&"a.".repeat(130)), None);
    }
}
